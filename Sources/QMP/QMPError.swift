/// Why QEMU could not be spoken to, or did not do what it was asked.
public enum QMPError: Error, Sendable, Hashable, CustomStringConvertible {
    /// There is no such socket, or nobody listens.
    case cannotConnect(String)
    /// The connection ended, or was closed here.
    case closed
    /// The server speaks another protocol, or sends more on a line than this side takes.
    case malformed(String)
    /// The command failed, with QEMU's class and words.
    case failed(errorClass: String, description: String)
    /// No reply in time. The command may have been carried out.
    case timedOut(command: String, Duration)
    /// The server doesn't read what it is sent.
    case notReading
    /// The task was cancelled. The command may have been carried out.
    case cancelled

    public var description: String {
        switch self {
        case .cannotConnect(let reason): "can't connect: \(reason)"
        case .closed: "the connection ended"
        case .malformed(let problem): "not QMP: \(problem)"
        case .failed(_, let description): description
        case .timedOut(let command, let limit): "no reply to '\(command)' within \(limit)"
        case .notReading: "it doesn't read what it is sent"
        case .cancelled: "cancelled"
        }
    }
}
