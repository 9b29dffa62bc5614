import BuildOSKit
import Glibc

/// A server that runs for one check, over a directory of files and one for uploads.
struct ServerBench: Sendable {
    let store: any ArtifactStore
    /// What is served; everything beside it in the same directory is not.
    let root: FilePath
    let uploads: FilePath
    let server: any ArtifactServer

    /// Files for a check: name and content.
    typealias Files = [String: [UInt8]]

    /// A content in which no two blocks are the same.
    static func content(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 9 &+ $0 >> 17) }
    }

    /// Has a server run while the body does.
    static func run(
        _ store: any ArtifactStore,
        in directory: FilePath,
        _ files: Files = [:],
        configure: (inout ArtifactServerConfiguration, _ uploads: FilePath) -> Void = { _, _ in },
        _ body: (ServerBench) async throws -> Void
    ) async throws {
        let (root, uploads) = (directory.appending("served"), directory.appending("uploads"))
        for directory in [root, uploads] { try FileTree.makeDirectory(directory) }
        for (name, content) in files {
            let path = root.appending(name)
            try FileTree.makeDirectory(path.removingLastComponent())
            try FileTree.write(content, to: path)
        }
        var configuration = ArtifactServerConfiguration(
            endpoint: ServerEndpoint(host: "127.0.0.1", port: 0),
            readRoot: root,
            retransmissionTimeout: .milliseconds(500)
        )
        configure(&configuration, uploads)
        let server = try await store.serve(configuration)
        do {
            try await body(ServerBench(store: store, root: root, uploads: uploads, server: server))
            await server.stop()
        } catch {
            await server.stop()
            throw error
        }
    }

    func probe<Result: Sendable>(
        _ body: @escaping @Sendable (TFTPProbe) throws -> Result
    ) async throws -> Result {
        try await TFTPProbe.run(server.endpoint, body)
    }

    /// What happened, until something does that the closure looks for.
    func transfers(until isLast: @escaping @Sendable (ArtifactTransfer) -> Bool) async throws -> [ArtifactTransfer] {
        let transfers = server.transfers
        return try await Self.patiently("what was awaited was never told") {
            var seen: [ArtifactTransfer] = []
            for await transfer in transfers {
                seen.append(transfer)
                if isLast(transfer) { return seen }
            }
            throw ConformanceFailure("the events ended without what was awaited; there were \(seen)")
        }
    }

    /// All that happened, of a server that was stopped.
    func remainingTransfers() async throws -> [ArtifactTransfer] {
        let transfers = server.transfers
        return try await Self.patiently("the events don't end") {
            var seen: [ArtifactTransfer] = []
            for await transfer in transfers { seen.append(transfer) }
            return seen
        }
    }

    /// Waits for something as long as a client waits for a packet.
    private static func patiently<Result: Sendable>(
        _ otherwise: String,
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await Task.sleep(for: .milliseconds(TFTPProbe.patience))
                return nil
            }
            defer { group.cancelAll() }
            guard let result = try await group.next() ?? nil else { throw ConformanceFailure(otherwise) }
            return result
        }
    }

    /// Asks for something whose answer comes only after all that was sent before has been seen.
    func settle() async throws {
        try await probe { probe in
            probe.request("no such file, asked for to see that the server goes on")
            try probe.expectError(1)
        }
    }
}
