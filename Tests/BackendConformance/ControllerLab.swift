import BuildOSKit
import CurlFetcher
import LocalTransport
import Synchronization
import TestSupport

/// A controller that checks all it is sent (`Tests/EndToEnd/Fixtures/controller.py`), and what speaks to it.
struct ControllerLab: Sendable {
    let directory: FilePath
    let url: ResourceURL
    let key: AgentKey?
    let client: ControllerClient
    let fetcher: CurlFetcher
    /// The pauses that the client made between its tries; none is waited for.
    let pauses: Pauses

    /// What the controller printed.
    final class Log: Sendable {
        private let lines = Mutex<[String]>([])
        func append(_ line: String) { lines.withLock { $0.append(line) } }
        var all: [String] { lines.withLock { $0 } }
    }

    final class Pauses: Sendable {
        private let durations = Mutex<[Duration]>([])
        func append(_ duration: Duration) { durations.withLock { $0.append(duration) } }
        var all: [Duration] { durations.withLock { $0 } }
    }

    static let machine = MachineHeader(id: "a2b0-1.1", name: "x86_64-linux_debian_12", summary: "Debian 12")
    static let transport = LocalTransport()

    static func request(_ machines: [MachineHeader] = [machine]) throws -> TaskRequest {
        TaskRequest(
            agent: "bot",
            toolchainName: try ToolchainName("dev"),
            toolchainVersion: "0.18.0-a.1",
            machines: machines
        )
    }

    /// Runs a controller until the closure ends.
    ///
    /// - Parameter knowsKey: whether the controller demands the key that the lab has.
    static func run(
        knowsKey: Bool = true,
        settings: ControllerSettings = ControllerSettings(),
        _ body: (ControllerLab) async throws -> Void
    ) async throws {
        try await withTemporaryDirectory { directory in
            let key =
                knowsKey
                ? try await AgentKey.loadOrMake(directory.appending("key.pem"), by: transport, bits: 2048) : nil
            let task = directory.appending("task")
            try FileTree.write(taskText, to: task)
            var arguments = [
                StagedTree.checkout.appending("Tests/EndToEnd/Fixtures/controller.py").string, "--task", task.string,
            ]
            if let key {
                let publicKey = directory.appending("public.pem")
                try FileTree.write(key.publicKey, to: publicKey)
                arguments += ["--key", publicKey.string]
            }
            try await withController(arguments) { port in
                let (fetcher, pauses) = (try CurlFetcher(), Pauses())
                let scratch = directory.appending("scratch")
                try FileTree.makeDirectory(scratch)
                let lab = ControllerLab(
                    directory: directory,
                    url: try ResourceURL("http://127.0.0.1:\(port)/brep?build-task"),
                    key: key,
                    client: ControllerClient(
                        fetcher: fetcher,
                        transport: transport,
                        key: key,
                        scratch: scratch,
                        settings: settings,
                        sleep: { pauses.append($0) }
                    ),
                    fetcher: fetcher,
                    pauses: pauses
                )
                try await body(lab)
                guard try FileTree.names(in: scratch).isEmpty else { throw LabFailure("scratch files were left") }
            }
        }
    }

    struct LabFailure: Error {
        let text: String
        init(_ text: String) { self.text = text }
    }

    /// Tells the controller how to behave: see its own description.
    func control(_ query: String) async throws {
        let address = try ResourceURL("http://\(url.authority)/control?\(query)")
        _ = try await fetcher.fetch(
            FetchRequest(
                url: address,
                destination: directory.appending("control"),
                posting: FetchBody(contentType: "text/plain", content: .bytes([]))
            )
        )
    }

    /// The results that the controller took: `session status`.
    func results() async throws -> [String] { try await told("results") }

    /// What the controller said of the requests of a kind, one line each.
    func requests(_ kind: String) async throws -> [String] { try await told("log").filter { $0.hasPrefix(kind) } }

    private func told(_ what: String) async throws -> [String] {
        let file = directory.appending("told-\(UInt64.random(in: .min ... .max))")
        let address = try ResourceURL("http://\(url.authority)/control/\(what)")
        _ = try await fetcher.fetch(FetchRequest(url: address, destination: file))
        return try FileTree.readText(file).split(separator: "\n").map(String.init)
    }

    /// A task that the controller has given out.
    func assignment() async throws -> TaskResponse.Assignment {
        guard let assignment = try await client.task(from: url, for: Self.request()) else {
            throw LabFailure("there was no task: \(try await requests(""))")
        }
        return assignment
    }

    /// What is reported of a task.
    func result(
        of assignment: TaskResponse.Assignment,
        _ status: ResultStatus = .success,
        log: String = "ok\n"
    ) async throws -> ResultRequest {
        let result = BuildResult(
            name: assignment.task.name,
            version: assignment.task.version,
            status: status,
            operations: [BuildResult.Operation("update", status, log: log)]
        )
        return try await client.resultRequest(result, of: assignment, agentChecksum: "agent 1")
    }

    private static let taskText = """
        : 1
        name: libhello
        version: 1.1.0+10
        repository-url: https://example.org/1/stable
        repository-type: pkg
        target: x86_64-linux-gnu
        target-config: config.cc.coptions="-O3 -Wall"

        """

    private static func withController(
        _ arguments: [String],
        _ body: (Int) async throws -> Void
    ) async throws {
        let (lines, output) = AsyncStream<String>.makeStream()
        let log = Log()
        let server = Task {
            defer { output.finish() }
            return try await transport.run(
                Command("/usr/bin/python3", arguments),
                input: .none,
                output: .lines {
                    log.append($0)
                    output.yield($0)
                },
                error: .lines { log.append("error: \($0)") },
                timeLimit: .seconds(300)
            )
        }
        var port: Int?
        for await line in lines where line.hasPrefix("listening ") {
            port = Int(line.dropFirst("listening ".count))
            break
        }
        let result: Result<Void, any Error>
        do {
            guard let port else { throw LabFailure("the controller did not start: \(log.all)") }
            result = .success(try await body(port))
        } catch {
            result = .failure(error)
        }
        server.cancel()
        _ = await server.result
        try result.get()
    }
}
