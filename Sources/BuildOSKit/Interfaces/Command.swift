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
    /// What can be read from a descriptor until its end. The transport works on a duplicate: the caller closes its own.
    case descriptor(FileDescriptor)
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
    /// To a descriptor. The transport works on a duplicate, closed when the command has closed its output: the caller
    /// closes its own.
    case descriptor(FileDescriptor)
    /// To a closure, line by line without the newline, as it comes; not valid UTF-8 is repaired, lines over
    /// 64 KiB are cut in pieces.
    case lines(@Sendable (String) -> Void)
    /// Wherever this process writes.
    case inherited
}

/// How a command ended.
public enum CommandStatus: Sendable, Hashable, CustomStringConvertible {
    /// It ended by itself, with an exit status of 0 to 255 (wait(2)).
    case exited(Int32)
    /// A signal of that number ended it (signal(7)).
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
