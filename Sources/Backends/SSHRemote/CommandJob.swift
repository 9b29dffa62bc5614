import BuildOSKit
import Glibc

/// A command on its way through a connection.
struct CommandJob: Sendable {
    let id: UInt64
    let command: Command
    let input: CommandInput
    let output: CommandOutput
    let error: CommandOutput
    let timeLimit: Duration?
    /// Called with the bytes of input sent and of output received so far, on the connection's thread.
    let progress: (@Sendable (Int64) -> Void)?
    /// Called once, on the connection's thread.
    var complete: @Sendable (Result<CommandResult, TransportError>) -> Void
    /// Runs it over another connection, if it had not begun when this one was lost.
    var retry: (@Sendable (CommandJob) -> Void)?

    /// Ends it before it has begun.
    func refuse(_ error: TransportError) {
        guard error.kind == .connectionLost, let retry else { return complete(.failure(error)) }
        var again = self
        again.retry = nil
        retry(again)
    }

    /// How much of a connection it takes: one that streams as fast as it can takes all of it.
    var weight: Int { input.isBulk || output.isBulk ? Connection.commandLimit : 1 }
}

extension CommandInput {
    fileprivate var isBulk: Bool {
        switch self {
        case .file, .descriptor: true
        case .none, .bytes, .inherited: false
        }
    }
}

extension CommandOutput {
    fileprivate var isBulk: Bool {
        switch self {
        case .appended, .descriptor: true
        case .discarded, .collected, .lines, .inherited: false
        }
    }
}

/// A stream to somewhere that the host can reach, on its way through a connection.
struct ForwardJob: Sendable {
    let id: UInt64
    let target: ForwardTarget
    /// A connected stream socket, closed by whoever runs the job.
    let socket: Int32
    /// Called once, with what came of opening it.
    let opened: @Sendable (Result<Void, TransportError>) -> Void
    /// Called once, when it is over, opened or not.
    let ended: @Sendable () -> Void

    /// Ends it before it has begun.
    func refuse(_ error: TransportError) {
        close(socket)
        opened(.failure(error))
        ended()
    }
}
