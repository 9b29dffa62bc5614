import BuildOSKit
import Synchronization

/// A libvirtd of the tests' own, with files and sockets of its own (`Scripts/private-libvirtd`). Needs root.
public actor PrivateLibvirtd {
    /// Its address.
    public nonisolated let uri: String
    private let directory: FilePath
    private let transport: any Transport
    private let wrapped: @Sendable (Command) -> Command
    /// The end of the pipe that keeps it running, and what waits for its end.
    private var running: (input: FileDescriptor, end: Task<Void, any Error>)?

    /// One that doesn't run yet.
    ///
    /// - Parameters:
    ///   - directory: what holds everything of it. If it isn't there, it is removed in the end, with the machines that run.
    ///   - transport: runs it.
    ///   - wrapped: what command it is run by, to have it in another network for one.
    public init(
        in directory: FilePath,
        by transport: any Transport,
        _ wrapped: @escaping @Sendable (Command) -> Command = { $0 }
    ) {
        self.directory = directory
        self.wrapped = wrapped
        self.transport = transport
        uri = "qemu+unix:///system?socket=\(directory)/sock/libvirt-sock"
    }

    /// One that all tests of this process share; it ends with the process.
    public static func shared(by transport: any Transport) async throws -> PrivateLibvirtd {
        let task = sharedStart.withLock { start in
            let task =
                start
                ?? Task {
                    let number = UInt64.random(in: .min ... .max)
                    let daemon = PrivateLibvirtd(in: FilePath("/tmp/buildos-libvirtd-\(number)"), by: transport)
                    try await daemon.start()
                    return daemon
                }
            start = task
            return task
        }
        return try await task.value
    }

    private static let sharedStart = Mutex<Task<PrivateLibvirtd, any Error>?>(nil)

    /// Starts it; returns when it answers.
    public func start() async throws {
        // Whatever else this process starts must not keep it running.
        let (read, write) = try FileDescriptor.pipe(options: .closeOnExec)
        let script = StagedTree.checkout.appending("Scripts/private-libvirtd").string
        let (lines, continuation) = AsyncStream.makeStream(of: String.self)
        let command = wrapped(Command(script, [directory.string]))
        let end = Task { [transport] in
            defer { continuation.finish() }
            defer { try? read.close() }
            let result = try await transport.run(
                command,
                input: .descriptor(read),
                output: .lines { continuation.yield($0) },
                error: .collected(limit: 1 << 20),
                timeLimit: nil
            )
            guard result.status.isSuccess else { throw Failure(description: result.errorText) }
        }
        for await line in lines where line == "ready" {
            running = (write, end)
            return
        }
        try? write.close()
        try await end.value
        throw Failure(description: "it ended before it was ready")
    }

    /// Ends it; machines run on, if its directory stays. Returns when it has ended.
    public func stop() async throws {
        guard let (input, end) = running else { return }
        running = nil
        try input.close()
        try await end.value
    }

    private struct Failure: Error, CustomStringConvertible { let description: String }
}
