import BuildOSKit
import CSSH2
import Glibc

/// A command that runs over a channel.
final class CommandChannel: ChannelWork {
    private enum Phase {
        case waiting
        case opening
        case starting(Channel)
        case running(Channel)
        /// The caller has its answer; the channel is given back as soon as the host agrees.
        case freeing(Channel)
        case finished
    }

    private enum SessionEnd {
        case notNeeded
        /// Wanted as soon as the number of the session is known.
        case needed
        case underWay
        case done
    }

    private let job: CommandJob
    private let line: [UInt8]
    private let streams: CommandStreams
    private var phase = Phase.waiting
    private var limit: ContinuousClock.Instant?
    /// Why it has to end early, and when to stop waiting for the host to end it.
    private var stop: (error: TransportError, patience: ContinuousClock.Instant)?
    private var sessionEnd = SessionEnd.notNeeded
    private var isAnswered = false
    /// That the host refused a session; it waits for another turn.
    private var refusal: Channel.Refusal?
    /// Called on the connection's thread when the caller has its answer: whether it ran to its end.
    var afterwards: ((Bool) -> Void)?

    /// Time for the host to end a command's session, which takes three seconds if it ignores SIGTERM, and more where the
    /// host is busy.
    private static let patience: Duration = .seconds(30)
    /// libssh2 1.10 puts a packet together in a buffer of 35,000 bytes.
    private static let longestLine = 32_000

    /// - Throws: ``TransportError`` if it can't be run, whatever the host.
    init(_ job: CommandJob) throws(TransportError) {
        let mark = "buildos-\(String(UInt64.random(in: .min ... .max), radix: 36))"
        guard let line = RemoteScript.line(for: job.command, mark: mark) else {
            throw TransportError(
                .cannotStart,
                command: job.command,
                detail: "an argument holds a NUL, or a variable has a name that can't be"
            )
        }
        guard line.utf8.count <= Self.longestLine else {
            throw TransportError(
                .cannotStart,
                command: job.command,
                detail: "its quoted arguments are \(line.utf8.count) bytes; SSH takes \(Self.longestLine)",
                remedy: "pass them through its standard input"
            )
        }
        self.job = job
        self.line = Array(line.utf8)
        streams = try CommandStreams(job, mark: mark)
    }

    var id: UInt64 { job.id }
    var isSession: Bool { true }
    var isFinished: Bool { if case .finished = phase { true } else { false } }
    var opening: OpeningPhase {
        switch phase {
        case .waiting: .waiting
        case .opening: .underWay
        default: .over
        }
    }
    var deadline: ContinuousClock.Instant? { isAnswered ? nil : stop?.patience ?? limit }
    var waitsFor: [pollfd] { if case .running = phase { streams.waitsFor } else { [] } }

    /// The session that has to be ended on the host, by another command; asked for once.
    func takeSessionToEnd() -> Int32? {
        guard sessionEnd == .needed, case .started(let process)? = streams.startEvent else { return nil }
        sessionEnd = .underWay
        return process
    }

    /// Tells that the session is ended, or can't be: there is nothing to wait for then.
    func sessionEnded(_ isEnded: Bool) {
        sessionEnd = .done
        if !isEnded { stop?.patience = .now }
    }

    /// Whether the host refused a session since this was last asked.
    func takeRefusal() -> Channel.Refusal? {
        defer { refusal = nil }
        return refusal
    }

    func cancel() { end(TransportError(.cancelled, command: job.command)) }

    func fail(_ error: TransportError) {
        if stop == nil, opening != .over, !isAnswered {
            isAnswered = true
            streams.finish()
            job.refuse(error)
            afterwards?(false)
        } else {
            // A killed program and a lost host look the same from here: the reason asked for goes first.
            answer(.failure(stop?.error ?? error))
        }
        phase = .finished
    }

    func step(on session: Session, mayOpen: Bool) throws(ConnectionLoss) -> Bool {
        if stop == nil, let limit, let timeLimit = job.timeLimit, .now >= limit, !isAnswered {
            end(TransportError(.timedOut(timeLimit), command: job.command))
        }
        if let stop, .now >= stop.patience { answer(.failure(stop.error)) }
        switch phase {
        case .waiting:
            if let stop {
                fail(stop.error)
                return true
            }
            guard mayOpen else { return false }
            phase = .opening
            if limit == nil { limit = job.timeLimit.map { .now + $0 } }
            return try open(on: session)
        case .opening: return try open(on: session)
        case .starting(let channel): return try start(channel)
        case .running(let channel): return try run(channel)
        case .freeing(let channel):
            if case .again = try channel.free() { return false }
            phase = .finished
            return true
        case .finished: return false
        }
    }

    /// An opening that has begun must be gone through: libssh2 knows one at a time.
    private func open(on session: Session) throws(ConnectionLoss) -> Bool {
        switch try Channel.open("session", message: [], on: session) {
        case nil: return false
        case .failure(let refusal)?:
            self.refusal = refusal
            phase = .waiting
        case .success(let channel)?:
            if let stop { give(back: channel, .failure(stop.error)) } else { phase = .starting(channel) }
        }
        return true
    }

    private func start(_ channel: Channel) throws(ConnectionLoss) -> Bool {
        switch try channel.execute(line) {
        case .again: return false
        case .done: phase = .running(channel)
        case .denied:
            let detail = "the host refuses to run commands for this user"
            let error = TransportError(.cannotStart, command: job.command, detail: detail)
            give(back: channel, .failure(stop?.error ?? error))
        }
        return true
    }

    private func run(_ channel: Channel) throws(ConnectionLoss) -> Bool {
        if isAnswered {
            phase = .freeing(channel)
            return true
        }
        let didWork = try streams.step(channel)
        if stop == nil, let error = streams.failure { end(error) }
        guard streams.isOver, sessionEnd != .underWay else { return didWork }
        // Whatever the command left behind has its session, and is found by that.
        if sessionEnd == .needed, case .started? = streams.startEvent { return didWork }
        give(back: channel, stop.map { .failure($0.error) } ?? streams.result)
        return true
    }

    private func end(_ error: TransportError) {
        guard stop == nil, !isAnswered else { return }
        stop = (error, .now + Self.patience)
        sessionEnd = .needed
        streams.abandon()
    }

    private func give(back channel: Channel, _ result: Result<CommandResult, TransportError>) {
        phase = .freeing(channel)
        answer(result)
    }

    private func answer(_ result: Result<CommandResult, TransportError>) {
        guard !isAnswered else { return }
        isAnswered = true
        streams.finish()
        job.complete(result)
        let isSuccess = if case .success = result { true } else { false }
        afterwards?(isSuccess)
    }
}
