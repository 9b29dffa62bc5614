/// A program to run, with its arguments as an array: nothing in it is ever read by a shell.
public struct Command: Sendable, Hashable, CustomStringConvertible {
    /// A path if it holds `/`, else looked up in `PATH`.
    public var executable: String
    /// The arguments after the program's name.
    public var arguments: [String]
    /// Variables set in addition to those the program inherits; `nil` removes one.
    public var environment: [String: String?]
    /// Where it runs; the transport's own directory if `nil`.
    public var workingDirectory: FilePath?

    /// Creates a command.
    public init(
        _ executable: String,
        _ arguments: [String] = [],
        environment: [String: String?] = [:],
        workingDirectory: FilePath? = nil
    ) {
        self.executable = executable
        self.arguments = arguments
        self.environment = environment
        self.workingDirectory = workingDirectory
    }

    /// The program and its arguments, for a reader; arguments with blanks are quoted.
    public var description: String {
        ([executable] + arguments)
            .map { $0.isEmpty || $0.contains(where: \.isWhitespace) ? "'\($0)'" : $0 }
            .joined(separator: " ")
    }
}

/// What a command reads.
public enum CommandInput: Sendable {
    /// Nothing: end of file at once.
    case none
    /// These bytes.
    case bytes([UInt8])
    /// The content of a file on this machine.
    case file(FilePath)
    /// Whatever this process reads: for programs that talk to the operator.
    case inherited
}

/// Where what a command writes goes.
public enum CommandOutput: Sendable {
    /// Nowhere.
    case discarded
    /// Into the result, up to a number of bytes; more ends the command with ``TransportError/Kind/tooMuchOutput``.
    case collected(limit: Int)
    /// To the end of a file on this machine, which is made if it isn't there.
    case appended(to: FilePath)
    /// To a closure, line by line without the newline, as it comes; not valid UTF-8 is repaired, lines over
    /// 64 KiB are cut in pieces.
    case lines(@Sendable (String) -> Void)
    /// Wherever this process writes.
    case inherited
}

/// How a command ended.
public enum CommandStatus: Sendable, Hashable, CustomStringConvertible {
    case exited(Int32)
    case signalled(Int32)

    /// Whether it exited with 0.
    public var isSuccess: Bool { self == .exited(0) }

    public var description: String {
        switch self {
        case .exited(let code): "exit status \(code)"
        case .signalled(let signal): "ended by signal \(signal)"
        }
    }
}

/// What a command left.
public struct CommandResult: Sendable, Hashable {
    /// How it ended.
    public let status: CommandStatus
    /// What it wrote to standard output, if that was collected.
    public let output: [UInt8]
    /// What it wrote to standard error, if that was collected.
    public let error: [UInt8]

    /// Creates a result.
    public init(status: CommandStatus, output: [UInt8] = [], error: [UInt8] = []) {
        self.status = status
        self.output = output
        self.error = error
    }

    /// Standard output as text; not valid UTF-8 is repaired.
    public var outputText: String { String(decoding: output, as: UTF8.self) }
    /// Standard error as text; not valid UTF-8 is repaired.
    public var errorText: String { String(decoding: error, as: UTF8.self) }
}

/// Why a command could not be run to its end, or ended badly.
public struct TransportError: DiagnosableError, Hashable {
    /// The kinds of failure that policy tells apart.
    public enum Kind: Sendable, Hashable {
        /// No such program.
        case commandNotFound
        /// It could not be started, for another reason.
        case cannotStart
        /// Its time limit passed; it and its children were ended.
        case timedOut(Duration)
        /// It wrote more than was to be collected; it and its children were ended.
        case tooMuchOutput(limit: Int)
        /// The task was cancelled; it and its children were ended.
        case cancelled
        /// It ran and ended otherwise than with exit status 0. Thrown by ``Transport/check(_:input:timeLimit:)`` alone.
        case failed(CommandStatus)
        /// Reading from or writing to it failed.
        case inputOutput
    }

    /// What kind of failure it is.
    public let kind: Kind
    /// The command.
    public let command: Command
    /// The system's or the program's own words, if there are any.
    public let detail: String

    /// Creates an error.
    public init(_ kind: Kind, command: Command, detail: String = "") {
        self.kind = kind
        self.command = command
        self.detail = detail
    }

    public var subject: String { command.description }
    public var cause: String {
        let what =
            switch kind {
            case .commandNotFound: "no such program"
            case .cannotStart: "it could not be started"
            case .timedOut(let limit): "it did not end within \(limit) and was killed with its children"
            case .tooMuchOutput(let limit): "it wrote more than \(limit) bytes and was killed"
            case .cancelled: "it was cancelled"
            case .failed(let status): status.description
            case .inputOutput: "its input or output failed"
            }
        return detail.isEmpty ? what : "\(what): \(detail)"
    }
    public var remedy: String? {
        switch kind {
        case .commandNotFound: "install the Debian package that has it; 'make deps' installs all"
        default: nil
        }
    }
}

/// What a transport can do.
public struct TransportCapabilities: CapabilitySet {
    /// Whether commands run on another machine.
    public let remote: Bool

    /// Creates capabilities.
    public init(remote: Bool) { self.remote = remote }

    public var listing: [Capability] { [Capability("remote", remote)] }
}

/// Runs programs: on this machine, or on another one.
public protocol Transport: Sendable {
    /// What it can do.
    var capabilities: TransportCapabilities { get }

    /// Runs a command until it has ended and closed its output. A status other than 0 is not an error here.
    ///
    /// The command leads a session of its own: at the time limit, or when the task is cancelled, it and all of
    /// its children that stay in that session get SIGTERM, and SIGKILL two seconds later.
    ///
    /// - Throws: ``TransportError``
    func run(
        _ command: Command,
        input: CommandInput,
        output: CommandOutput,
        error: CommandOutput,
        timeLimit: Duration?
    ) async throws(TransportError) -> CommandResult
}

extension Transport {
    /// Runs a command, collects up to 1 MiB of each of its outputs, and throws unless it exits with 0.
    ///
    /// - Throws: ``TransportError``, with the end of the standard error in it.
    @discardableResult
    public func check(
        _ command: Command,
        input: CommandInput = .none,
        timeLimit: Duration? = nil
    ) async throws(TransportError) -> CommandResult {
        let result = try await run(
            command,
            input: input,
            output: .collected(limit: 1 << 20),
            error: .collected(limit: 1 << 20),
            timeLimit: timeLimit
        )
        guard result.status.isSuccess else {
            let lastLines = result.errorText.split(whereSeparator: \.isNewline).suffix(5).joined(separator: "; ")
            throw TransportError(.failed(result.status), command: command, detail: lastLines)
        }
        return result
    }
}

/// Makes transports.
public protocol TransportProvider: BackendProvider {
    /// What its transports can do.
    var capabilities: TransportCapabilities { get }
    /// Makes a transport to this machine.
    func makeLocalTransport() throws -> any Transport
}

extension TransportProvider {
    public var capabilityListing: [Capability] { capabilities.listing }
}
