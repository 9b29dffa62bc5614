import BuildOSConformance
import BuildOSKit
import LocalTransport
import Synchronization
import Testing

/// Transports with one bug each, such as were made or nearly made. Fakes, as no real one has them any more.
@Suite("BACK-3: TransportSuite finds bugs") struct BrokenTransports {
    struct Case: Sendable, CustomTestStringConvertible {
        let bug: String
        let check: String
        let transport: any Transport
        var testDescription: String { bug }
    }

    static let cases: [Case] = [
        Case(
            bug: "joins arguments with blanks and lets a shell read them",
            check: "arguments arrive as they are, whatever they hold",
            transport: Bent(command: { Command("sh", ["-c", $0.description], environment: $0.environment) })
        ),
        Case(
            bug: "forgets to remove variables",
            check: "environment is added and removed",
            transport: Bent(command: { command in
                var command = command
                command.environment = command.environment.filter { $0.value != nil }
                return command
            })
        ),
        Case(
            bug: "tells a signal as a shell does, as 128 and its number",
            check: "exit status and signal are told apart",
            transport: Bent(result: { result in
                guard case .signalled(let signal) = result.status else { return result }
                return CommandResult(status: .exited(128 + signal), output: result.output, error: result.error)
            })
        ),
        Case(
            bug: "lets both outputs go the same way",
            check: "both outputs are collected, apart",
            transport: Bent(result: { CommandResult(status: $0.status, output: $0.output + $0.error) })
        ),
        Case(
            bug: "loses what is left in its buffer at the end",
            check: "standard input is passed on and ends",
            transport: Bent(result: { result in
                let whole = result.output.count / 4096 * 4096
                return CommandResult(status: result.status, output: Array(result.output[..<whole]), error: result.error)
            })
        ),
        Case(
            bug: "passes lines on when a chunk ends, not when a line does",
            check: "lines come one by one, the last one without a newline too",
            transport: Bent(output: { output in
                guard case .lines(let handler) = output else { return output }
                return .lines { line in
                    for part in line.split(separator: "", omittingEmptySubsequences: true) { handler(String(part)) }
                }
            })
        ),
        Case(
            bug: "gives up at the time limit, and leaves the command running",
            check: "at the time limit a command ends with its children, even those that ignore SIGTERM",
            transport: Bent(leavesRunning: true)
        ),
        Case(
            bug: "writes uploads into the file that is there",
            check: "an upload is a new file under the old name",
            transport: Bent(uploadsInPlace: true)
        ),
    ]

    @Test("a check fails", arguments: cases) func finds(example: Case) async throws {
        let check = try #require(TransportSuite(example.transport).checks.first { $0.name == example.check })
        await #expect(throws: (any Error).self) { try await check.body() }
        await example.transport.close()
    }
}

/// ``LocalTransport`` with something bent.
private struct Bent: Transport {
    var backendName: String { base.backendName }
    var capabilities: TransportCapabilities { base.capabilities }
    private let base = LocalTransport()
    var command: @Sendable (Command) -> Command = { $0 }
    var output: @Sendable (CommandOutput) -> CommandOutput = { $0 }
    var result: @Sendable (CommandResult) -> CommandResult = { $0 }
    var leavesRunning = false
    var uploadsInPlace = false
    private let left = LeftRunning()

    init(
        command: @escaping @Sendable (Command) -> Command = { $0 },
        output: @escaping @Sendable (CommandOutput) -> CommandOutput = { $0 },
        result: @escaping @Sendable (CommandResult) -> CommandResult = { $0 },
        leavesRunning: Bool = false,
        uploadsInPlace: Bool = false
    ) {
        self.command = command
        self.output = output
        self.result = result
        self.leavesRunning = leavesRunning
        self.uploadsInPlace = uploadsInPlace
    }

    func run(
        _ command: Command,
        input: CommandInput,
        output: CommandOutput,
        error: CommandOutput,
        timeLimit: Duration?
    ) async throws(TransportError) -> CommandResult {
        if leavesRunning, let timeLimit, timeLimit < .seconds(1) {
            left.add(
                Task { _ = try? await base.run(command, input: input, output: output, error: error, timeLimit: nil) }
            )
            do { try await Task.sleep(for: timeLimit) } catch { throw TransportError(.cancelled, command: command) }
            throw TransportError(.timedOut(timeLimit), command: command)
        }
        let plain = try await base.run(
            self.command(command),
            input: input,
            output: self.output(output),
            error: error,
            timeLimit: timeLimit
        )
        return result(plain)
    }

    func upload(
        _ file: FilePath,
        to destination: FilePath,
        permissions: FilePermissions,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(TransportError) {
        guard uploadsInPlace else {
            return try await base.upload(file, to: destination, permissions: permissions, progress: progress)
        }
        try await base.check(Command("sh", ["-c", "cat <\"$1\" >\"$2\"", "sh", file.string, destination.string]))
    }

    func download(
        _ file: FilePath,
        to destination: FilePath,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(TransportError) {
        try await base.download(file, to: destination, progress: progress)
    }

    func close() async { await left.end() }
}

/// What a broken transport left running, so that the test doesn't.
private final class LeftRunning: Sendable {
    private let tasks = Mutex<[Task<Void, Never>]>([])
    func add(_ task: Task<Void, Never>) { tasks.withLock { $0.append(task) } }
    func end() async {
        for task in tasks.withLock({ $0 }) {
            task.cancel()
            await task.value
        }
    }
}
