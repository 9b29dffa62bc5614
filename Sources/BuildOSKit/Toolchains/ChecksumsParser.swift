/// Reads a checksums file line by line.
struct ChecksumsParser {
    let url: ResourceURL

    /// Names in a published set that are not files of the toolchain.
    static let reservedNames: Set<String> = ["version", "trust"]

    func parse(_ bytes: [UInt8]) throws(ChecksumsFileError) -> ChecksumsFile.Content {
        let algorithm = try ChecksumsFile.algorithm(of: url)
        guard bytes.count <= ChecksumsFile.maximumBytes else {
            throw error("it is larger than \(ChecksumsFile.maximumBytes) bytes")
        }
        let text = try text(of: bytes)
        var lines: [(number: Int, digest: Digest, path: RelativePath)] = []
        var isFirst = true
        for (index, slice) in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            var line = String(decoding: slice, as: UTF8.self)
            if line.hasSuffix("\r") { line.removeLast() }
            if line.hasPrefix("#") || line.allSatisfy({ $0 == " " || $0 == "\t" }) { continue }
            if isFirst, line == "disabled" { return .disabled }
            isFirst = false
            let (digest, path) = try parse(line, number: index + 1, algorithm)
            lines.append((index + 1, digest, path))
        }
        guard let first = lines.first else { throw error("it lists no files") }
        guard let version = ToolchainVersion(archiveName: first.path.lastComponent) else {
            throw error(
                "'\(first.path)' is not a toolchain archive",
                line: first.number,
                remedy: "list build2-toolchain-<version>.tar.xz (or .tar.gz) first"
            )
        }
        let entries = lines.map { line in
            ChecksumsFile.Entry(
                line: line.number,
                path: line.path,
                digest: line.digest,
                predictableName: version.predictableName(for: line.path.lastComponent)
            )
        }
        try checkNames(entries)
        return .toolchain(version: version, archive: entries[0], others: Array(entries.dropFirst()))
    }

    /// `\r\n` is a single `Character`, so lines are cut from bytes.
    private func text(of bytes: [UInt8]) throws(ChecksumsFileError) -> [UInt8] {
        let isText = String(validating: bytes, as: UTF8.self) != nil && !bytes.contains(0)
        guard isText else { throw error("it is not UTF-8 text") }
        return bytes
    }

    private func parse(
        _ line: String,
        number: Int,
        _ algorithm: DigestAlgorithm
    ) throws(ChecksumsFileError) -> (Digest, RelativePath) {
        let sum = line.prefix { $0.isHexDigit && $0.isASCII }
        let afterSum = line[sum.endIndex...]
        guard !sum.isEmpty, afterSum.hasPrefix(" ") else {
            throw error(
                "it is not '<sum> *<path>' but '\(line.prefix(60).printable)'",
                line: number,
                remedy: "write it with \(algorithm.rawValue)sum --binary"
            )
        }
        guard let digest = Digest(algorithm, hexadecimal: sum) else {
            throw error(
                "a \(algorithm.rawValue) sum has \(2 * algorithm.byteCount) digits, this one \(sum.utf8.count)",
                line: number,
                remedy: "the extension of the file must name the algorithm of its sums"
            )
        }
        guard afterSum.hasPrefix(" *") else {
            throw error(
                "there is no '*' before the path, which marks a sum of the file's bytes",
                line: number,
                remedy: "write it with \(algorithm.rawValue)sum --binary"
            )
        }
        do {
            return (digest, try RelativePath(String(afterSum.dropFirst(2))))
        } catch {
            throw self.error("\(error.subject): \(error.cause)", line: number, remedy: error.remedy)
        }
    }

    private func checkNames(_ entries: [ChecksumsFile.Entry]) throws(ChecksumsFileError) {
        var lineOf: [String: Int] = [:]
        for entry in entries {
            for name in [entry.fileName, entry.predictableName].compactMap(\.self) {
                guard !Self.reservedNames.contains(name) else {
                    throw error("'\(name)' is a name the host uses itself", line: entry.line)
                }
                guard !name.hasPrefix(".") else { throw error("'\(name)' is a hidden file", line: entry.line) }
                if let earlier = lineOf.updateValue(entry.line, forKey: name) {
                    throw error(
                        "'\(entry.path)' and the file of line \(earlier) would both be named '\(name)'",
                        line: entry.line,
                        remedy: "list every file once, under a name of its own"
                    )
                }
            }
        }
    }

    private func error(_ cause: String, line: Int? = nil, remedy: String? = nil) -> ChecksumsFileError {
        ChecksumsFileError(url: url, line: line, cause: cause, remedy: remedy)
    }
}

extension Substring {
    /// The text as it may stand in a log.
    fileprivate var printable: String {
        String(
            String.UnicodeScalarView(
                unicodeScalars.map { scalar in
                    switch scalar.properties.generalCategory {
                    case .control, .format, .surrogate, .lineSeparator, .paragraphSeparator, .unassigned, .privateUse:
                        "?"
                    default: scalar
                    }
                }
            )
        )
    }
}
