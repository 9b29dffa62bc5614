/// Brings what a store publishes of a toolchain to what its checksums file says (TOOL-1 to TOOL-4).
///
/// All files are fetched side by side into a staging directory and digested while they arrive; only when the
/// last one is verified does the set switch. Whatever fails, what was published before stays as it was.
public struct ToolchainSync: Sendable {
    private let fetcher: any Fetcher
    private let store: any ArtifactStore
    private let scratch: FilePath
    private let limits: Limits

    /// What bounds a sync.
    public struct Limits: Sendable, Hashable {
        /// Limits of the checksums file.
        public var checksums: FetchLimits
        /// Limits of each other file.
        public var files: FetchLimits
        /// How many files are fetched side by side.
        public var parallel: Int

        /// Creates limits; the defaults are those of a host.
        public init(
            checksums: FetchLimits = FetchLimits(
                maximumBytes: Int64(ChecksumsFile.maximumBytes),
                totalTimeout: .seconds(120)
            ),
            files: FetchLimits = FetchLimits(),
            parallel: Int = 8
        ) {
            self.checksums = checksums
            self.files = files
            self.parallel = max(1, parallel)
        }
    }

    /// Creates a sync.
    ///
    /// - Parameter scratch: a directory for the checksums file while it is read.
    public init(
        fetcher: any Fetcher,
        store: any ArtifactStore,
        scratch: FilePath = "/tmp",
        limits: Limits = Limits()
    ) {
        self.fetcher = fetcher
        self.store = store
        self.scratch = scratch
        self.limits = limits
    }

    /// Fetches and reads the checksums file, and nothing else: how a change is noticed (BOOT-9).
    ///
    /// - Returns: `nil` if the server says that the file is still the one that `validators` describe.
    /// - Throws: ``ToolchainSyncError``; so also if what is there now is not a checksums file.
    public func checksums(
        of source: ToolchainSource,
        unlessMatching validators: ResourceValidators = ResourceValidators()
    ) async throws(ToolchainSyncError) -> ChecksumsSnapshot? {
        do throws(ChecksumsFileError) {
            _ = try ChecksumsFile.algorithm(of: source.url)
        } catch {
            throw ToolchainSyncError(.checksums(error), toolchain: source.name)
        }
        let content: FetchedContent?
        do throws(FetchContentError) {
            content = try await fetcher.content(
                of: source.url,
                limits: limits.checksums,
                digestAlgorithm: .sha256,
                unlessMatching: validators,
                scratch: scratch
            )
        } catch {
            throw ToolchainSyncError(reading: error, toolchain: source.name)
        }
        guard let content else { return nil }
        guard let digest = content.digest else {
            throw ToolchainSyncError(
                .fetch(FetchError(.other, url: source.url, detail: "the fetcher makes no SHA-256 digests")),
                toolchain: source.name
            )
        }
        do throws(ChecksumsFileError) {
            let file = try ChecksumsFile(content.bytes, from: source.url)
            return ChecksumsSnapshot(
                file: file,
                digest: digest,
                validators: content.validators,
                bytes: content.bytes
            )
        } catch {
            throw ToolchainSyncError(.checksums(error), toolchain: source.name, checksums: digest)
        }
    }

    /// Fetches the checksums file, and makes the published set what it says.
    ///
    /// Files of the published set that are still wanted are digested anew and taken over, so that a set damaged
    /// on disk mends, and an unchanged one costs no transfer.
    ///
    /// - Throws: ``ToolchainSyncError``; nothing has changed then.
    public func run(_ source: ToolchainSource) async throws(ToolchainSyncError) -> SyncOutcome {
        guard let snapshot = try await checksums(of: source) else {
            throw ToolchainSyncError(
                .fetch(FetchError(.other, url: source.url, detail: "'not modified' was the answer to a plain request")),
                toolchain: source.name
            )
        }
        guard case .toolchain(let version, let archive, _) = snapshot.file.content else {
            return .disabled(checksums: snapshot.digest)
        }
        let (directory, change) = try await publish(snapshot, version: version, source)
        let published = PublishedToolchain(
            name: source.name,
            version: version,
            id: archive.digest,
            checksums: snapshot.digest,
            directory: directory,
            archive: directory.appending(archive.fileName),
            trust: source.trust
        )
        return .published(published, change)
    }

    private func publish(
        _ snapshot: ChecksumsSnapshot,
        version: ToolchainVersion,
        _ source: ToolchainSource
    ) async throws(ToolchainSyncError) -> (FilePath, ToolchainChange) {
        do {
            guard let set = ArtifactSetName(source.name.text) else {
                throw ToolchainSyncError(
                    .store(
                        ArtifactStoreError(path: FilePath(source.name.text), cause: "not a name for a set of files")
                    ),
                    toolchain: source.name
                )
            }
            let earlier = try await store.published(set)
            let staging = try await store.begin(set)
            do {
                let previous = earlier.flatMap { PreviousSet($0, source) }
                let stage = ToolchainStage(fetcher: fetcher, source: source, limits: limits, previous: previous)
                let staged = try await stage.fill(staging.directory, with: snapshot.file.entries)
                try ToolchainTree.finish(staging.directory, snapshot, version: version, source)
                let change = ToolchainChange(
                    fetched: staged.fetched,
                    kept: staged.kept,
                    removed: previous?.names(not: snapshot.file.entries) ?? [],
                    fetchedBytes: staged.fetchedBytes,
                    hasSwitched: !staged.fetched.isEmpty
                        || earlier.map { ToolchainTree.differs($0, staging.directory) } ?? true
                )
                if let earlier, !change.hasSwitched {
                    await store.abandon(staging)
                    return (earlier, change)
                }
                return (try await store.publish(staging), change)
            } catch {
                await store.abandon(staging)
                throw error
            }
        } catch {
            let failure = ToolchainSyncError(wrapping: error, toolchain: source.name)
            throw ToolchainSyncError(failure.kind, toolchain: source.name, checksums: snapshot.digest)
        }
    }
}

extension ToolchainSyncError {
    fileprivate init(reading error: FetchContentError, toolchain: ToolchainName) {
        switch error {
        case .fetch(let error) where error.kind == .cancelled: self.init(.cancelled, toolchain: toolchain)
        case .fetch(let error): self.init(.fetch(error), toolchain: toolchain)
        case .file(let error): self.init(.file(error), toolchain: toolchain)
        }
    }

    fileprivate init(wrapping error: any Error, toolchain: ToolchainName) {
        switch error {
        case let error as ToolchainSyncError: self = error
        case let error as ArtifactStoreError: self.init(.store(error), toolchain: toolchain)
        case let error as FileError: self.init(.file(error), toolchain: toolchain)
        default: self.init(.cancelled, toolchain: toolchain)
        }
    }
}
