import BuildOSKit
import Glibc

/// What a connection's thread does, from connecting to its end.
final class ConnectionLoop {
    private let connection: Connection
    private var works: [any ChannelWork] = []
    /// Sessions that the host was found to allow.
    private var sessionLimit = Connection.commandLimit
    /// When a message was last sent that keeps the connection alive.
    private var lastKeepAlive = ContinuousClock.now
    private var idleSince = ContinuousClock.now
    /// When closing ends, whatever the host does.
    private var closesAt: ContinuousClock.Instant?
    /// When a session may be opened after the host refused one.
    private var opensNext = ContinuousClock.now

    /// The id of what runs for the connection's own sake.
    private static let ownID: UInt64 = 0
    /// How long closing waits for a host that must end commands, and may be dead.
    private static let closingPatience: Duration = .seconds(32)
    /// sshd may still count a session that has just ended, as it clears up after it has read what else came.
    private static let sessionGrace: Duration = .seconds(2)
    /// How long a connection that nobody uses is kept.
    private static let idleLimit: Duration = .seconds(60)

    init(_ connection: Connection) { self.connection = connection }

    func run(over socket: Int32?) {
        // A pipe whose reader is gone gives EPIPE in place of a signal to the process.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        do throws(TransportError) {
            let session = try Establishment(connection).session(over: socket)
            do throws(ConnectionLoss) {
                try serve(session)
                session.disconnect()
                connection.end(closed)
                for work in works { work.fail(closed) }
            } catch {
                let error = TransportError(
                    .connectionLost,
                    subject: connection.settings.description,
                    detail: error.detail
                )
                // Before anybody is told: whoever tries again must not get this connection.
                connection.end(error)
                for work in works { work.fail(error) }
            }
        } catch {
            connection.end(error)
        }
    }

    private var closed: TransportError {
        TransportError(.cancelled, subject: connection.settings.description, detail: "the connection was closed")
    }

    private func serve(_ session: Session) throws(ConnectionLoss) {
        while true {
            let mail = connection.takeMail()
            take(mail)
            if mail.isClosing {
                let end = closesAt ?? .now + Self.closingPatience
                closesAt = end
                if works.isEmpty || .now >= end { return }
                for work in works where work.id != Self.ownID { work.cancel() }
            }
            var didWork = false
            for work in works where try step(work, on: session) { didWork = true }
            session.buffers.flush()
            removeFinished()
            if session.buffers.takeHasGiven() || didWork { continue }
            if works.isEmpty, mail.isEmpty {
                if try isToEnd(session) { return }
                if session.buffers.hasUnread {
                    works.append(ProbeChannel(id: Self.ownID))
                    continue
                }
            }
            try keepAlive(session)
            wait(for: session)
            if works.isEmpty { session.buffers.receive() }
        }
    }

    /// Whether an idle connection was idle for long enough.
    private func isToEnd(_ session: Session) throws(ConnectionLoss) -> Bool {
        if session.buffers.isBroken { throw ConnectionLoss(detail: session.loss) }
        return .now >= idleSince + Self.idleLimit && connection.endIfIdle()
    }

    private func take(_ mail: Connection.Mail) {
        for job in mail.commands {
            do throws(TransportError) {
                works.append(try CommandChannel(job))
            } catch {
                job.complete(.failure(error))
            }
        }
        for job in mail.forwards { works.append(ForwardChannel(job)) }
        for work in works where mail.cancelled.contains(work.id) { work.cancel() }
    }

    private func step(_ work: any ChannelWork, on session: Session) throws(ConnectionLoss) -> Bool {
        let isOpening = works.contains { $0 !== work && $0.opening == .underWay }
        let mayOpen =
            !isOpening && .now >= opensNext && (!work.isSession || works.count { $0.holdsSession } < limit(for: work))
        let didWork = try work.step(on: session, mayOpen: mayOpen)
        if let command = work as? CommandChannel {
            if let refusal = command.takeRefusal() { refused(command, refusal) }
            if let process = command.takeSessionToEnd() {
                endSession(process, of: command)
                return true
            }
        }
        return didWork
    }

    /// What ends a session goes before all others, into what sshd allows beyond our own limit.
    private func limit(for work: any ChannelWork) -> Int { work.id == Self.ownID ? .max : sessionLimit }

    private func refused(_ command: CommandChannel, _ refusal: Channel.Refusal) {
        let others = works.count { $0 !== command && $0.holdsSession }
        if others == 0, .now < idleSince + Self.sessionGrace {
            opensNext = .now + .milliseconds(20)
            return
        }
        // Those that end commands wait for each other; what they end gives its session back.
        let isOwn = command.id == Self.ownID
        if isOwn, works.contains(where: { $0 !== command && $0.id == Self.ownID && $0.holdsSession }) {
            opensNext = .now + .milliseconds(50)
            return
        }
        guard others > 0, !isOwn else {
            return command.fail(
                TransportError(
                    .refused,
                    subject: connection.settings.description,
                    detail: "no session: \(refusal.detail)",
                    remedy: "raise MaxSessions in the host's sshd_config"
                )
            )
        }
        sessionLimit = others
    }

    /// Ends what a command has started on the host, by another command: libssh2 1.10 can't pass signals on, and sshd
    /// would pass them to one process group only.
    private func endSession(_ process: Int32, of command: CommandChannel) {
        let job = CommandJob(
            id: Self.ownID,
            command: RemoteScript.end(ofSession: process),
            input: .none,
            output: .discarded,
            error: .discarded,
            timeLimit: nil,
            progress: nil,
            complete: { _ in }
        )
        guard let killer = try? CommandChannel(job) else { return command.sessionEnded(false) }
        killer.afterwards = { command.sessionEnded($0) }
        works.append(killer)
    }

    private func removeFinished() {
        guard works.contains(where: \.isFinished) else { return }
        works.removeAll(where: \.isFinished)
        idleSince = .now
    }

    private func keepAlive(_ session: Session) throws(ConnectionLoss) {
        let settings = connection.settings
        guard let interval = settings.keepAliveInterval, !works.isEmpty else { return }
        let silence = ContinuousClock.now - session.buffers.lastReceived
        if silence > interval * (settings.keepAliveCount + 1) {
            throw ConnectionLoss(detail: "the host has not answered for \(silence.components.seconds) s")
        }
        guard silence >= interval, .now >= lastKeepAlive + interval else { return }
        lastKeepAlive = .now
        session.sendKeepAlive()
        session.buffers.flush()
    }

    private func wait(for session: Session) {
        var socket = pollfd(fd: session.buffers.descriptor, events: Int16(POLLIN), revents: 0)
        if session.buffers.hasOutgoing { socket.events |= Int16(POLLOUT) }
        var entries = [socket, pollfd(fd: connection.signalDescriptor, events: Int16(POLLIN), revents: 0)]
        for work in works { entries += work.waitsFor }
        poll(&entries, nfds_t(entries.count), milliseconds(until: nextDeadline(session)))
    }

    private func nextDeadline(_ session: Session) -> ContinuousClock.Instant {
        guard !works.isEmpty else { return idleSince + Self.idleLimit }
        var deadlines = works.compactMap(\.deadline)
        if let closesAt { deadlines.append(closesAt) }
        if .now < opensNext { deadlines.append(opensNext) }
        if let interval = connection.settings.keepAliveInterval {
            deadlines.append(max(session.buffers.lastReceived, lastKeepAlive) + interval)
        }
        return deadlines.min() ?? .now + .seconds(3600)
    }
}

extension ChannelWork {
    /// Whether it takes one of the sessions that the host allows.
    fileprivate var holdsSession: Bool { isSession && opening != .waiting }
}

/// What poll(2) takes: at least 0, rounded up so that the deadline has passed when it returns.
func milliseconds(until deadline: ContinuousClock.Instant) -> Int32 {
    let left = deadline - .now
    guard left > .zero else { return 0 }
    return Int32(clamping: left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000 + 1)
}
