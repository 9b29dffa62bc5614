import BuildOSKit
import Synchronization
import TestSupport

/// The image made a second time, in the background, while hosts boot from the first.
final class SecondImage: Sendable {
    let directory: FilePath
    private let log: FilePath
    private let transport: any Transport
    private let build = Mutex<Task<CommandResult, any Error>?>(nil)

    init(directory: FilePath, log: FilePath, transport: any Transport) {
        self.directory = directory
        self.log = log
        self.transport = transport
    }

    /// Begins, if it hasn't yet.
    func begin() {
        build.withLock { build in
            guard build == nil else { return }
            let command = Command(
                "nice",
                ["-n", "15", StagedTree.program("buildosctl").string, "image", "build", "--output", directory.string]
            )
            build = Task { [transport, log] in
                try await transport.run(
                    command,
                    input: .none,
                    output: .appended(to: log),
                    error: .appended(to: log),
                    timeLimit: .seconds(900)
                )
            }
        }
    }

    /// Waits for the end of the build.
    func finish() async throws {
        begin()
        guard let task = build.withLock({ $0 }) else { return }
        let result = try await task.value
        guard result.status.isSuccess else { throw LabError("the image's build: \(result.status), see \(log)") }
    }

    /// Ends a build that nobody waits for.
    func cancel() async {
        guard let task = build.withLock({ $0 }) else { return }
        task.cancel()
        _ = await task.result
    }
}
