import BuildOSKit

/// What every ``Transport`` must do.
///
/// Commands run `sh`, `bash`, coreutils, `pgrep` and, where ports are forwarded, `python3` of the machine they run on.
public struct TransportSuite: Sendable {
    let transport: any Transport

    /// Creates a suite for one implementation.
    public init(_ transport: any Transport) { self.transport = transport }

    /// The checks, in the order in which they are best run. Their number and names depend on the capabilities only.
    public var checks: [ConformanceCheck] {
        commandChecks + streamChecks + endChecks + fileChecks + forwardingChecks
    }

    /// What a command gets, and what is told of it.
    private var commandChecks: [ConformanceCheck] {
        [
            ConformanceCheck("arguments arrive as they are, whatever they hold") {
                let awkward = [
                    "a b", "$HOME", "'", "\"", "*", "\\n", "", "-x;rm", "ä\u{1F600}", "line\nbreak", "a=b", "~", "!!",
                ]
                let result = try await transport.check(Command("printf", ["%s\\0"] + awkward))
                let arrived = result.output.split(separator: 0, omittingEmptySubsequences: false).dropLast()
                    .map { String(decoding: $0, as: UTF8.self) }
                try require(arrived == awkward, "sent \(awkward), arrived \(arrived)")
            },
            ConformanceCheck("exit status and signal are told apart") {
                for status: Int32 in [0, 1, 3, 126, 127, 255] {
                    try await expectStatus(.exited(status), of: ["-c", "exit \(status)"])
                }
                try await expectStatus(.signalled(9), of: ["-c", "kill -9 $$"])
                try await expectStatus(.signalled(15), of: ["-c", "kill -15 $$"])
            },
            ConformanceCheck("environment is added and removed") {
                let value = "x 'y' \"$HOME\"\nz=1"
                let command = Command("env", ["-0"], environment: ["BUILDOS_ADDED": value, "HOME": nil, "A": ""])
                let variables = try await transport.check(command).output.split(separator: 0)
                    .map { String(decoding: $0, as: UTF8.self) }
                try require(variables.contains("BUILDOS_ADDED=\(value)"), "the variable is not there")
                try require(variables.contains("A="), "the empty variable is not there")
                try require(!variables.contains { $0.hasPrefix("HOME=") }, "HOME is still there")
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
                try await expectError(Command("/no/such/program")) {
                    $0.kind == .commandNotFound || $0.kind == .cannotStart
                }
            },
            ConformanceCheck("check() throws for a status other than 0, with the end of the standard error") {
                try await expectError(Command("sh", ["-c", "echo first >&2; echo why >&2; exit 7"])) {
                    $0.kind == .failed(.exited(7)) && $0.detail.contains("why")
                }
            },
        ]
    }

    func run(_ arguments: [String]) async throws(TransportError) -> CommandResult {
        try await transport.run(
            Command("sh", arguments),
            input: .none,
            output: .collected(limit: 2 << 20),
            error: .collected(limit: 2 << 20),
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
