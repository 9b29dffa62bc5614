import BuildOSKit
import Glibc

/// Something that runs over a channel, in steps that never block. Used by the connection's thread alone.
protocol ChannelWork: AnyObject {
    var id: UInt64 { get }
    /// Whether it waits for its turn to be opened, is being opened, or neither.
    var opening: OpeningPhase { get }
    /// Whether it counts among the sessions that a host allows (sshd_config(5), "MaxSessions").
    var isSession: Bool { get }
    var isFinished: Bool { get }
    /// When it has to be looked at even if nothing happens.
    var deadline: ContinuousClock.Instant? { get }
    /// Descriptors other than the connection's whose events it waits for.
    var waitsFor: [pollfd] { get }

    /// Goes on as far as it can.
    ///
    /// - Parameter mayOpen: whether it is its turn to be opened.
    /// - Returns: whether anything was done.
    func step(on session: Session, mayOpen: Bool) throws(ConnectionLoss) -> Bool
    /// Ends it early.
    func cancel()
    /// Ends it at once, as the connection is gone.
    func fail(_ error: TransportError)
}

/// How far the opening of a channel is.
enum OpeningPhase {
    case waiting
    case underWay
    case over
}

/// Opens a channel and closes it: for libssh2 to see what came while there was none, as it reads only on behalf of one.
final class ProbeChannel: ChannelWork {
    private enum Phase {
        case opening
        case freeing(Channel)
        case finished
    }

    let id: UInt64
    private var phase = Phase.opening

    init(id: UInt64) { self.id = id }

    var opening: OpeningPhase { if case .opening = phase { .underWay } else { .over } }
    var isSession: Bool { true }
    var isFinished: Bool { if case .finished = phase { true } else { false } }
    var deadline: ContinuousClock.Instant? { nil }
    var waitsFor: [pollfd] { [] }

    func step(on session: Session, mayOpen: Bool) throws(ConnectionLoss) -> Bool {
        switch phase {
        case .opening:
            switch try Channel.open("session", message: [], on: session) {
            case nil: return false
            case .success(let channel)?: phase = .freeing(channel)
            case .failure?: phase = .finished
            }
        case .freeing(let channel):
            if case .again = try channel.free() { return false }
            phase = .finished
        case .finished: return false
        }
        return true
    }

    func cancel() {}
    func fail(_ error: TransportError) { phase = .finished }
}
