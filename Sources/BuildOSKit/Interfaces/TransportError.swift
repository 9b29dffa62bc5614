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
        /// The machine it was to run on can't be reached.
        case unreachable
        /// The machine's identity is not the one that is known, or not known at all.
        case hostKey
        /// The machine refused every way to log in.
        case refused
        /// The connection was lost; whether the command ended is not known.
        case connectionLost
        /// This transport can't do that; see ``Transport/capabilities``.
        case unsupported
    }

    /// What kind of failure it is.
    public let kind: Kind
    /// What it concerns: a command, a file, a host.
    public let subject: String
    /// The system's or the program's own words, if there are any.
    public let detail: String
    /// A remedy that fits the case better than the kind's own.
    private let particularRemedy: String?

    /// Creates an error of a command.
    public init(_ kind: Kind, command: Command, detail: String = "", remedy: String? = nil) {
        self.init(kind, subject: command.description, detail: detail, remedy: remedy)
    }

    /// Creates an error of something else than a command.
    public init(_ kind: Kind, subject: String, detail: String = "", remedy: String? = nil) {
        self.kind = kind
        self.subject = subject
        self.detail = detail
        self.particularRemedy = remedy
    }

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
            case .unreachable: "it can't be reached"
            case .hostKey: "its host key can't be trusted"
            case .refused: "it refused the log-in"
            case .connectionLost: "the connection was lost"
            case .unsupported: "not supported"
            }
        return detail.isEmpty ? what : "\(what): \(detail)"
    }
    public var remedy: String? {
        if let particularRemedy { return particularRemedy }
        return switch kind {
        case .commandNotFound: "install the Debian package that has it; 'make deps' installs all"
        case .unreachable: "check the name, the port and that the SSH server runs"
        case .hostKey: "compare its fingerprint with the host's console, then add the key to known_hosts"
        case .refused: "check the user name, and that one of your keys is in the host's buildos.ssh_key"
        case .connectionLost: "run it again"
        default: nil
        }
    }
}
