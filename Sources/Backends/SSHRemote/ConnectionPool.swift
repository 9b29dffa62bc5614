import BuildOSKit
import Glibc
import Synchronization

/// The connections of a transport: made when needed, several when one is not enough.
final class ConnectionPool: Sendable {
    private struct State {
        var connections: [Connection] = []
        var settings: HostSettings?
        var jump: SSHRemote?
        var lastID: UInt64 = 0
    }

    private let host: RemoteHost
    private let jumps: [RemoteHost]?
    private let state = Mutex(State())

    /// sshd refuses more than ten log-ins at a time (sshd_config(5), "MaxStartups").
    private static let connectionLimit = 4

    /// - Parameter jumps: in place of those in the configuration files.
    init(_ host: RemoteHost, jumps: [RemoteHost]?) {
        self.host = host
        self.jumps = jumps
    }

    /// A number for a job; never 0.
    func nextID() -> UInt64 {
        state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
    }

    /// Runs a job; it is completed whatever happens.
    func submit(_ job: CommandJob) {
        var job = job
        job.retry = { again in self.submitOnce(again) }
        submitOnce(job)
    }

    private func submitOnce(_ job: CommandJob) {
        do throws(TransportError) {
            while !(try connection(forWeight: job.weight).submit(job)) {}
        } catch {
            job.complete(.failure(error))
        }
    }

    /// Runs a job; it is ended whatever happens.
    func submit(_ job: ForwardJob) {
        do throws(TransportError) {
            while !(try connection(forWeight: 1).submit(job)) {}
        } catch {
            job.refuse(error)
        }
    }

    func cancel(_ id: UInt64) {
        for connection in state.withLock({ $0.connections }) { connection.cancel(id) }
    }

    /// A stream to somewhere that the host can reach.
    ///
    /// - Returns: a socket that the caller closes.
    func openStream(to target: ForwardTarget) async throws(TransportError) -> Int32 {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else {
            throw TransportError(.inputOutput, subject: target.description, detail: Errno(rawValue: errno).description)
        }
        let (theirs, ours) = (ends[0], ends[1])
        let result: Result<Void, TransportError> = await withCheckedContinuation { continuation in
            submit(
                ForwardJob(
                    id: nextID(),
                    target: target,
                    socket: theirs,
                    opened: { continuation.resume(returning: $0) },
                    ended: {}
                )
            )
        }
        if case .failure(let error) = result {
            Glibc.close(ours)
            throw error
        }
        return ours
    }

    /// Waits until there is a connection: errors that concern the host are found out early.
    func connected() async throws(TransportError) {
        let result: Result<CommandResult, TransportError> = await withCheckedContinuation { continuation in
            submit(
                CommandJob(
                    id: nextID(),
                    command: Command("true"),
                    input: .none,
                    output: .discarded,
                    error: .discarded,
                    timeLimit: nil,
                    progress: nil,
                    complete: { continuation.resume(returning: $0) }
                )
            )
        }
        _ = try result.get()
    }

    func close() async {
        let (connections, jump) = takeAll()
        for connection in connections { await connection.close() }
        await jump?.close()
    }

    /// Lets every connection end as soon as it can.
    func abandon() {
        for connection in takeAll().connections { connection.beginClosing() }
    }

    private func takeAll() -> (connections: [Connection], jump: SSHRemote?) {
        state.withLock { state in
            defer {
                state.connections = []
                state.jump = nil
            }
            return (state.connections, state.jump)
        }
    }

    /// The least busy connection, or a new one if that is better.
    private func connection(forWeight weight: Int) throws(TransportError) -> Connection {
        let outcome: Result<(Connection, start: Start?), TransportError> = state.withLock { state in
            Result { () throws(TransportError) in
                state.connections.removeAll { $0.load == nil }
                let loads = state.connections.map { ($0, $0.load ?? .max) }
                if let (least, load) = loads.min(by: { $0.1 < $1.1 }),
                    load == 0 || load + weight <= Connection.commandLimit || loads.count >= Self.connectionLimit
                {
                    return (least, nil)
                }
                return try makeConnection(&state)
            }
        }
        let (connection, start) = try outcome.get()
        switch start {
        case nil: break
        case .directly?: connection.start(over: nil)
        case .through(let jump, let target)?:
            Task {
                do throws(TransportError) {
                    connection.start(over: try await jump.openStream(to: target))
                } catch {
                    connection.end(error.behind(connection.settings))
                }
            }
        }
        return connection
    }

    private enum Start {
        case directly
        case through(SSHRemote, ForwardTarget)
    }

    private func makeConnection(_ state: inout State) throws(TransportError) -> (Connection, start: Start?) {
        let settings = if let known = state.settings { known } else { try HostSettings.resolve(host, jumps: jumps) }
        state.settings = settings
        let connection: Connection
        do throws(Errno) { connection = try Connection(settings) } catch {
            throw TransportError(.cannotStart, subject: settings.description, detail: error.description)
        }
        state.connections.append(connection)
        guard let last = settings.jumps.last else { return (connection, .directly) }
        let jump = state.jump ?? SSHRemote(to: last, through: Array(settings.jumps.dropLast()))
        state.jump = jump
        return (connection, .through(jump, .tcp(host: settings.hostName, port: settings.port)))
    }
}

extension TransportError {
    /// The same, as the reason why the host behind the jump host can't be reached.
    fileprivate func behind(_ settings: HostSettings) -> TransportError {
        let kind: Kind = kind == .inputOutput ? .unreachable : kind
        return TransportError(
            kind,
            subject: settings.description,
            detail: "through its jump host: \(self)",
            remedy: nil
        )
    }
}
