/// What a worker handed over, made into what a controller is told.
struct WorkerResult: Sendable {
    /// The result, compressed (LZ4 frame), as today's workers hand it over.
    static let compressedName = "result.manifest.lz4"
    /// The result as workers before 0.14 did.
    static let plainName = "result.manifest"
    /// Files that were made.
    static let uploadName = "upload.tar"
    /// The names that a worker may write.
    static let names: Set = [compressedName, plainName, uploadName]
    /// Those of which one must come.
    static let awaited: Set = [compressedName, plainName]

    let transport: any Transport

    /// Reads the result in a directory.
    ///
    /// - Returns: the result with the name and version of its task, whatever the worker could make of these.
    /// - Throws: ``ManifestError`` if it is none; ``FileError``; ``TransportError`` of lz4(1).
    func read(_ directory: FilePath, of task: BuildTask) async throws -> BuildResult {
        let compressed = directory.appending(Self.compressedName)
        let bytes: [UInt8]
        if FileTree.exists(compressed) {
            bytes = try await decompress(compressed)
        } else {
            bytes = try FileTree.read(directory.appending(Self.plainName), limit: ManifestLimits.result.bytes)
        }
        let manifests = try ManifestParser.parse(bytes, source: Self.plainName, limits: .result)
        guard let manifest = manifests.first, manifests.count == 1 else {
            throw ManifestError(Self.plainName, nil, "\(manifests.count) manifests, not one")
        }
        var result = try BuildResult(manifest, source: Self.plainName)
        guard result.name == task.name && result.version == task.version || result.version == "0" else {
            throw ManifestError(Self.plainName, nil, "it is the result of another task")
        }
        result.name = task.name
        result.version = task.version
        return result
    }

    /// Decompresses a file, to no more than a result may be: it comes from a guest.
    private func decompress(_ file: FilePath) async throws -> [UInt8] {
        let result = try await transport.run(
            Command("lz4", ["-dc", "--no-sparse"]),
            input: .file(file),
            output: .collected(limit: ManifestLimits.result.bytes),
            error: .collected(limit: 4096),
            timeLimit: .seconds(60)
        )
        guard result.status.isSuccess else {
            throw ManifestError(Self.compressedName, nil, "it is not an LZ4 frame")
        }
        return result.output
    }
}
