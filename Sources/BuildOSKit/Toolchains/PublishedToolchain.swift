/// A toolchain an operator asked for: what the configuration says of it, as far as getting it goes.
public struct ToolchainSource: Sendable, Hashable {
    /// Its name, under which its files are published.
    public let name: ToolchainName
    /// Where its checksums file is.
    public let url: ResourceURL
    /// The repository certificates it trusts; becomes the `trust` file and `build.sh --trust`.
    public let trust: ToolchainTrust

    /// Creates a description of a source.
    public init(name: ToolchainName, url: ResourceURL, trust: ToolchainTrust = .no) {
        self.name = name
        self.url = url
        self.trust = trust
    }
}

/// A checksums file as it was fetched.
public struct ChecksumsSnapshot: Sendable, Hashable {
    /// What it says.
    public let file: ChecksumsFile
    /// SHA-256 of its bytes: when this differs, the file has changed (BOOT-9).
    public let digest: Digest
    /// What to show to the server to have it sent only when it has changed.
    public let validators: ResourceValidators
    /// The file as it came.
    let bytes: [UInt8]
}

/// A toolchain whose files are all there, verified, and visible under their final names.
public struct PublishedToolchain: Sendable, Hashable {
    /// Its name.
    public let name: ToolchainName
    /// Its version, from the name of the archive.
    public let version: ToolchainVersion
    /// What identifies it to agents and machines: the digest of its archive, the first of the checksums file.
    public let id: Digest
    /// SHA-256 of the checksums file it was published from (BOOT-9).
    public let checksums: Digest
    /// The directory that machines see.
    public let directory: FilePath
    /// The archive within it.
    public let archive: FilePath
    /// What was written into its `trust` file.
    public let trust: ToolchainTrust

    /// Creates a description; for implementations of what a monitor calls.
    public init(
        name: ToolchainName,
        version: ToolchainVersion,
        id: Digest,
        checksums: Digest,
        directory: FilePath,
        archive: FilePath,
        trust: ToolchainTrust
    ) {
        self.name = name
        self.version = version
        self.id = id
        self.checksums = checksums
        self.directory = directory
        self.archive = archive
        self.trust = trust
    }
}

/// What a sync changed in a published set, by file name.
public struct ToolchainChange: Sendable, Hashable {
    /// Files that came from the server.
    public let fetched: [String]
    /// Files taken over from the published set, after they were digested anew.
    public let kept: [String]
    /// Files of the earlier set that are gone.
    public let removed: [String]
    /// Bytes that came from the server.
    public let fetchedBytes: Int64

    /// Whether readers see anything new.
    public let hasSwitched: Bool

    /// Creates a description; for implementations of what a monitor calls.
    public init(fetched: [String], kept: [String], removed: [String], fetchedBytes: Int64, hasSwitched: Bool) {
        self.fetched = fetched
        self.kept = kept
        self.removed = removed
        self.fetchedBytes = fetchedBytes
        self.hasSwitched = hasSwitched
    }
}

/// How a sync ended well.
public enum SyncOutcome: Sendable, Hashable {
    /// The checksums file says `disabled`; nothing was touched. The digest is the file's (BOOT-9).
    case disabled(checksums: Digest)
    /// The set is published and intact.
    case published(PublishedToolchain, ToolchainChange)
}

/// Why a toolchain could not be synchronised. What was published before is untouched.
public struct ToolchainSyncError: DiagnosableError, Hashable {
    /// The kinds of failure that policy tells apart.
    public enum Kind: Sendable, Hashable {
        /// A file could not be fetched.
        case fetch(FetchError)
        /// The checksums file is not one.
        case checksums(ChecksumsFileError)
        /// A file is not the one the checksums file means.
        case mismatch(file: RelativePath, url: ResourceURL, expected: Digest, found: Digest?)
        /// The set could not be stored.
        case store(ArtifactStoreError)
        /// A file could not be written or read.
        case file(FileError)
        /// The task was cancelled.
        case cancelled
    }

    /// What kind of failure it is.
    public let kind: Kind
    /// The toolchain.
    public let toolchain: ToolchainName
    /// SHA-256 of the checksums file that was being followed, if it was had: while it stays the same, what
    /// ``mayRetry`` says holds.
    public let checksums: Digest?

    /// Creates an error.
    public init(_ kind: Kind, toolchain: ToolchainName, checksums: Digest? = nil) {
        self.kind = kind
        self.toolchain = toolchain
        self.checksums = checksums
    }

    public var subject: String { "toolchain '\(toolchain)'" }
    public var cause: String {
        switch kind {
        case .fetch(let error): "\(error.subject): \(error.cause)"
        case .checksums(let error): "\(error.subject): \(error.cause)"
        case .mismatch(_, let url, let expected, let found):
            "\(url) is not what the checksums file says: expected \(expected.algorithm.rawValue) "
                + "\(expected.hexadecimal), found \(found?.hexadecimal ?? "none")"
        case .store(let error): "\(error.subject): \(error.cause)"
        case .file(let error): "\(error.subject): \(error.cause)"
        case .cancelled: "it was cancelled"
        }
    }
    public var remedy: String? {
        switch kind {
        case .fetch(let error): error.remedy
        case .checksums(let error): error.remedy
        case .mismatch: "upload the file again, or the checksums file that belongs to it"
        case .store(let error): error.remedy
        case .file(let error): error.remedy
        case .cancelled: nil
        }
    }

    /// Whether the same attempt may succeed later without anyone changing the configuration or the checksums
    /// file. A change of the checksums file is seen by ``ToolchainSync/checksums(of:unlessMatching:)``.
    public var mayRetry: Bool {
        switch kind {
        case .fetch(let error): error.mayPass
        case .checksums, .cancelled: false
        case .mismatch, .store, .file: true
        }
    }
}
