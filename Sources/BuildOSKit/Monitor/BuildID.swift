/// What tells one build of the operating system from another: the first line of `buildos-buildid` (BOOT-8).
public struct BuildID: Sendable, Hashable, Codable, CustomStringConvertible {
    /// The identifier.
    public let description: String

    /// Takes one line, blanks around it cut off. `nil` unless it is 8 to 128 letters, digits and `.`, `_`, `+`, `-`
    /// with a digit among them: an error page or a captive portal must not pass for a new build id, because a host
    /// would reboot for it.
    public init?(_ line: some StringProtocol) {
        let text = line.trimmingBlanks
        guard (8...128).contains(text.utf8.count),
            text.utf8.allSatisfy({ $0.isNameByte }),
            text.utf8.contains(where: { $0.isDigit })
        else { return nil }
        description = String(text)
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let id = BuildID(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a build id")
        }
        self = id
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// The content of a `buildos-buildid` file: the build id, then a checksum line for each of the other two files.
public struct BuildIDFile: Sendable, Hashable {
    /// The longest such file that is read.
    public static let sizeLimit = 4096

    /// Why a text is not such a file.
    public struct ParseError: DiagnosableError, Hashable {
        public let subject = "build id file"
        public let cause: String
        public let remedy: String? = "serve the file buildos-buildid that was made with the image"
    }

    /// The build id.
    public let id: BuildID
    /// SHA-256 of the files beside it, by name; empty if the file gives none.
    public let checksums: [String: Digest]

    /// Parses the file.
    ///
    /// - Throws: ``ParseError`` if the first line is no build id, or a later one no `<sum> *<name>`.
    public init(_ text: String) throws(ParseError) {
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        guard let first = lines.first, let id = BuildID(first) else {
            throw ParseError(cause: "the first line is not a build id")
        }
        var checksums: [String: Digest] = [:]
        for line in lines.dropFirst() where !line.trimmingBlanks.isEmpty {
            let parts = line.split(separator: " ", maxSplits: 1)
            guard parts.count == 2, let digest = Digest(.sha256, hexadecimal: parts[0]), parts[1].hasPrefix("*"),
                !parts[1].contains("/")
            else { throw ParseError(cause: "a line after the first is not '<sha256> *<file name>'") }
            checksums[String(parts[1].dropFirst().trimmingBlanks)] = digest
        }
        self.id = id
        self.checksums = checksums
    }
}

extension StringProtocol {
    fileprivate var trimmingBlanks: SubSequence {
        var rest = self[...]
        while let first = rest.first, first.isWhitespace { rest.removeFirst() }
        while let last = rest.last, last.isWhitespace { rest.removeLast() }
        return rest
    }
}

extension UInt8 {
    fileprivate var isDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }
    fileprivate var isNameByte: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "+"), UInt8(ascii: "-"):
            true
        default: isDigit
        }
    }
}
