import BuildOSKit

/// What every ``Transport`` must do.
public struct TransportSuite: Sendable {
    private let transport: any Transport

    /// Creates a suite for one implementation.
    public init(_ transport: any Transport) { self.transport = transport }

    /// The checks, in the order in which they are best run.
    public var checks: [ConformanceCheck] {
        [
            ConformanceCheck("arguments arrive as they are, whatever they hold") {
                let awkward = ["a b", "$HOME", "'", "\"", "*", "\\n", "", "-x;rm", "ä\u{1F600}", "line\nbreak"]
                let result = try await transport.check(Command("printf", ["%s\\0"] + awkward))
                let arrived = result.output.split(separator: 0, omittingEmptySubsequences: false).dropLast()
                    .map { String(decoding: $0, as: UTF8.self) }
                try require(arrived == awkward, "sent \(awkward), arrived \(arrived)")
            },
            ConformanceCheck("standard input is passed on and ends") {
                let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
                let result = try await transport.check(Command("cat"), input: .bytes(bytes))
                try require(result.output == bytes, "cat gave back \(result.output.count) of \(bytes.count) bytes")
            },
            ConformanceCheck("a command that doesn't read its input does not hurt") {
                let result = try await transport.run(
                    Command("true"),
                    input: .bytes([UInt8](repeating: 1, count: 4 << 20)),
                    output: .discarded,
                    error: .discarded,
                    timeLimit: .seconds(60)
                )
                try require(result.status.isSuccess, "true ended with \(result.status)")
            },
            ConformanceCheck("exit status and signal are told apart") {
                try await expectStatus(.exited(3), of: ["-c", "exit 3"])
                try await expectStatus(.signalled(9), of: ["-c", "kill -9 $$"])
            },
            ConformanceCheck("both outputs are collected, apart") {
                let result = try await run(["-c", "echo out; echo err >&2"])
                try require(result.outputText == "out\n" && result.errorText == "err\n", "got \(result)")
            },
            ConformanceCheck("lines come one by one, the last one without a newline too") {
                let lines = LineCollector()
                _ = try await transport.run(
                    Command("printf", ["one\\ntwo\\r\\n\\nlast"]),
                    input: .none,
                    output: .lines { lines.append($0) },
                    error: .discarded,
                    timeLimit: .seconds(60)
                )
                try require(lines.all == ["one", "two", "", "last"], "got \(lines.all)")
            },
            ConformanceCheck("environment is added and removed") {
                let result = try await transport.check(
                    Command("env", environment: ["BUILDOS_ADDED": "x y", "HOME": nil])
                )
                let lines = result.outputText.split(separator: "\n")
                try require(lines.contains("BUILDOS_ADDED=x y"), "the variable is not there")
                try require(!lines.contains { $0.hasPrefix("HOME=") }, "HOME is still there")
            },
            ConformanceCheck("the working directory is used, and its absence told") {
                let result = try await transport.check(Command("pwd", ["-P"], workingDirectory: "/usr"))
                try require(result.outputText == "/usr\n", "pwd said \(result.outputText)")
                try await expectError(Command("pwd", workingDirectory: "/no/such/directory")) {
                    $0.kind == .cannotStart
                }
            },
            ConformanceCheck("a missing program is told as that") {
                try await expectError(Command("no-such-program-here")) { $0.kind == .commandNotFound }
            },
            ConformanceCheck("too much output ends the command") {
                do {
                    _ = try await transport.run(
                        Command("yes"),
                        input: .none,
                        output: .collected(limit: 10_000),
                        error: .discarded,
                        timeLimit: .seconds(60)
                    )
                    throw ConformanceFailure("10,000 bytes of 'yes' were enough for ever")
                } catch let error as TransportError {
                    try require(error.kind == .tooMuchOutput(limit: 10_000), "got \(error)")
                }
            },
            ConformanceCheck("at the time limit a command ends with its children, even those that ignore SIGTERM") {
                let marker = "31\(UInt32.random(in: 1_000_000...9_999_999))"
                let script = "trap '' TERM; sleep \(marker) & (set -m; sleep \(marker) &) ; wait"
                do {
                    _ = try await transport.run(
                        Command("bash", ["-c", script]),
                        input: .none,
                        output: .collected(limit: 1000),
                        error: .discarded,
                        timeLimit: .milliseconds(500)
                    )
                    throw ConformanceFailure("it ended by itself")
                } catch let error as TransportError {
                    try require(error.kind == .timedOut(.milliseconds(500)), "got \(error)")
                }
                let left = try await transport.run(
                    Command("pgrep", ["-f", "sleep \(marker)"]),
                    input: .none,
                    output: .collected(limit: 1000),
                    error: .discarded,
                    timeLimit: .seconds(60)
                )
                try require(left.output.isEmpty, "children are left: \(left.outputText)")
            },
            ConformanceCheck("cancelling ends the command") {
                let task = Task {
                    try await transport.run(
                        Command("sleep", ["3600"]),
                        input: .none,
                        output: .discarded,
                        error: .discarded,
                        timeLimit: nil
                    )
                }
                task.cancel()
                let outcome = await task.result
                if case .success(let result) = outcome { try require(!result.status.isSuccess, "it ended well") }
            },
            ConformanceCheck("many commands run side by side") {
                try await withThrowingTaskGroup(of: String.self) { group in
                    for number in 0..<32 { group.addTask { try await run(["-c", "echo \(number)"]).outputText } }
                    var seen: Set<String> = []
                    for try await text in group { seen.insert(text) }
                    try require(seen.count == 32, "\(seen.count) of 32 answered")
                }
            },
        ]
    }

    private func run(_ arguments: [String]) async throws(TransportError) -> CommandResult {
        try await transport.run(
            Command("sh", arguments),
            input: .none,
            output: .collected(limit: 1 << 20),
            error: .collected(limit: 1 << 20),
            timeLimit: .seconds(60)
        )
    }

    private func expectStatus(_ expected: CommandStatus, of arguments: [String]) async throws {
        let status = try await run(arguments).status
        try require(status == expected, "expected \(expected), got \(status)")
    }

    private func expectError(_ command: Command, _ matches: (TransportError) -> Bool) async throws {
        do {
            try await transport.check(command)
        } catch {
            try require(matches(error), "got \(error)")
            return
        }
        throw ConformanceFailure("\(command) did not fail")
    }
}
