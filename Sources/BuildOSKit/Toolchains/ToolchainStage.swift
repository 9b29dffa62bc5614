/// What a store publishes of a toolchain already.
struct PreviousSet: Sendable {
    let directory: FilePath
    private let digests: [String: Digest]

    /// `nil` if the set doesn't say what is in it, as one made by something else.
    init?(_ directory: FilePath, _ source: ToolchainSource) {
        guard
            let bytes = try? FileTree.read(
                directory.appending(ToolchainTree.checksumsName),
                limit: ChecksumsFile.maximumBytes
            ),
            let file = try? ChecksumsFile(bytes, from: source.url)
        else { return nil }
        self.directory = directory
        digests = Dictionary(file.entries.map { ($0.fileName, $0.digest) }, uniquingKeysWith: { first, _ in first })
    }

    /// A URL of the file of an entry, if the set has one that should be the same.
    func url(of entry: ChecksumsFile.Entry) -> ResourceURL? {
        guard digests[entry.fileName] == entry.digest,
            let path = try? RelativePath(String(directory.appending(entry.fileName).string.dropFirst()))
        else { return nil }
        return try? ResourceURL("file:///" + path.percentEncoded)
    }

    func names(not entries: [ChecksumsFile.Entry]) -> [String] {
        digests.keys.filter { name in !entries.contains { $0.fileName == name } }.sorted()
    }
}

/// Fills a staging directory with the files of a checksums file, each verified.
struct ToolchainStage: Sendable {
    let fetcher: any Fetcher
    let source: ToolchainSource
    let limits: ToolchainSync.Limits
    let previous: PreviousSet?

    struct Result: Sendable {
        var fetched: [String] = []
        var kept: [String] = []
        var fetchedBytes: Int64 = 0
    }

    private enum Arrival: Sendable {
        case fetched(String, Int64)
        case kept(String)
        case failed(ToolchainSyncError)
    }

    /// Gets all files; the first failure ends the others.
    func fill(_ directory: FilePath, with entries: [ChecksumsFile.Entry]) async throws(ToolchainSyncError) -> Result {
        let (result, failure) = await withTaskGroup(of: Arrival.self) { group in
            var waiting = entries[...]
            func startNext() {
                guard let entry = waiting.popFirst() else { return }
                group.addTask { await arrival(of: entry, in: directory) }
            }
            for _ in 0..<limits.parallel { startNext() }
            var result = Result()
            var failure: ToolchainSyncError?
            while let arrival = await group.next() {
                switch arrival {
                case .fetched(let name, let bytes):
                    result.fetched.append(name)
                    result.fetchedBytes += bytes
                case .kept(let name): result.kept.append(name)
                case .failed(let error):
                    if failure == nil { failure = error }
                    waiting = []
                    group.cancelAll()
                }
                startNext()
            }
            return (result, failure)
        }
        if let failure { throw failure }
        return Result(
            fetched: result.fetched.sorted(),
            kept: result.kept.sorted(),
            fetchedBytes: result.fetchedBytes
        )
    }

    private func arrival(of entry: ChecksumsFile.Entry, in directory: FilePath) async -> Arrival {
        let destination = directory.appending(entry.fileName)
        if let kept = previous?.url(of: entry),
            let file = try? await fetch(kept, destination, entry), file.digest == entry.digest
        {
            return .kept(entry.fileName)
        }
        let url = source.url.sibling(entry.path)
        do throws(FetchError) {
            let file = try await fetch(url, destination, entry)
            guard let file, file.digest == entry.digest else {
                return .failed(
                    error(.mismatch(file: entry.path, url: url, expected: entry.digest, found: file?.digest))
                )
            }
            // The store makes the set durable when it is complete; the disk may begin while others are fetched.
            FileTree.beginWriting(destination)
            return .fetched(entry.fileName, file.byteCount)
        } catch {
            return .failed(self.error(error.kind == .cancelled ? .cancelled : .fetch(error)))
        }
    }

    private func fetch(
        _ url: ResourceURL,
        _ destination: FilePath,
        _ entry: ChecksumsFile.Entry
    ) async throws(FetchError) -> FetchedFile? {
        let outcome = try await fetcher.fetch(
            FetchRequest(
                url: url,
                destination: destination,
                digestAlgorithm: entry.digest.algorithm,
                limits: limits.files
            )
        )
        guard case .fetched(let file) = outcome else { return nil }
        return file
    }

    private func error(_ kind: ToolchainSyncError.Kind) -> ToolchainSyncError {
        ToolchainSyncError(kind, toolchain: source.name)
    }
}
