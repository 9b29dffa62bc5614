/// The list of a toolchain's files with their digests (TOOL-1, TOOL-4; manual, "Toolchains").
///
/// What a server sends is parsed here once; whatever holds a `ChecksumsFile` needs no further checks: every
/// path stays inside its directory, no two files share a name, and the first entry is the toolchain's archive.
public struct ChecksumsFile: Sendable, Hashable {
    /// One line: a file and its digest.
    public struct Entry: Sendable, Hashable {
        /// Number of the line, from 1.
        public let line: Int
        /// Where the file is, relative to the checksums file.
        public let path: RelativePath
        /// What its content must digest to.
        public let digest: Digest
        /// The name without the toolchain's version, under which machines ask for the file; `nil` if the
        /// version is not in the name.
        public let predictableName: String?

        /// The name under which the file is stored: the last component of its path.
        public var fileName: String { path.lastComponent }
    }

    /// What a checksums file says.
    public enum Content: Sendable, Hashable {
        /// The first line is `disabled`: the toolchain is to be ignored.
        case disabled
        /// A toolchain.
        case toolchain(version: ToolchainVersion, archive: Entry, others: [Entry])
    }

    /// Most bytes a checksums file may have; room for some 8,000 lines.
    public static let maximumBytes = 1 << 20

    /// What it says.
    public let content: Content

    /// Every entry, the archive first; none if the toolchain is disabled.
    public var entries: [Entry] {
        switch content {
        case .disabled: []
        case .toolchain(_, let archive, let others): [archive] + others
        }
    }

    /// Parses the bytes that came from `url`, whose extension names the algorithm.
    ///
    /// - Throws: ``ChecksumsFileError`` with the number of the line.
    public init(_ bytes: [UInt8], from url: ResourceURL) throws(ChecksumsFileError) {
        content = try ChecksumsParser(url: url).parse(bytes)
    }

    /// The algorithm that the extension of a checksums file names: `.sha1`, `.sha224`, `.sha256`, `.sha384`, `.sha512`.
    ///
    /// - Throws: ``ChecksumsFileError`` for any other extension.
    public static func algorithm(of url: ResourceURL) throws(ChecksumsFileError) -> DigestAlgorithm {
        let name = url.lastComponent
        if let dot = name.lastIndex(of: "."),
            let algorithm = DigestAlgorithm(rawValue: String(name[dot...].dropFirst()))
        {
            return algorithm
        }
        throw ChecksumsFileError(
            url: url,
            line: nil,
            cause: "the extension of '\(name)' names no known algorithm",
            remedy: "name it .sha1, .sha224, .sha256, .sha384 or .sha512"
        )
    }
}

/// Why a checksums file was refused.
public struct ChecksumsFileError: DiagnosableError, Hashable {
    /// Where the file came from.
    public let url: ResourceURL
    /// The line, from 1; `nil` if it is the whole file.
    public let line: Int?
    public let cause: String
    public let remedy: String?
    public var subject: String { line.map { "\(url), line \($0)" } ?? url.description }

    init(url: ResourceURL, line: Int?, cause: String, remedy: String? = nil) {
        self.url = url
        self.line = line
        self.cause = cause
        self.remedy = remedy
    }
}
