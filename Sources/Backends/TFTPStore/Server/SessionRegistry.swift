import NIOCore
import Synchronization

/// Which transfers run at a server, and what a further request is to them.
final class SessionRegistry: Sendable {
    /// What is told to a session's channel, as a user event, to end it.
    struct BreakOff: Sendable {
        let reason: String
        /// Whether the client is told: not if it has asked for something else, as it would take that for the answer.
        let isTold: Bool
    }

    /// A transfer's place among those that are allowed.
    struct Ticket: Hashable, Sendable {
        fileprivate let number: Int
        let client: String
    }

    /// What a request is.
    enum Admission: Sendable {
        case admitted(Ticket)
        /// It came before, and is being served.
        case repeated
        /// There are too many transfers, or the server stops.
        case refused(TFTPRefusal)
    }

    private struct Session {
        let endpoint: SocketAddress
        let client: String
        let request: TFTPRequest
        var channel: (any Channel)?
        /// Done but for repetitions that may come.
        var isVacated = false
        var breakOff: BreakOff?
    }

    private struct State {
        var sessions: [Int: Session] = [:]
        var byEndpoint: [SocketAddress: Int] = [:]
        var lastNumber = 0
        var withheld: [WithheldRequest] = []
        var isStopped = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private struct WithheldRequest: Equatable {
        let endpoint: SocketAddress
        let request: TFTPRequest
    }

    private static let rememberedWithheld = 256

    private let maximum: Int
    private let maximumPerClient: Int
    private let state = Mutex(State())

    init(maximum: Int, maximumPerClient: Int) {
        self.maximum = maximum
        self.maximumPerClient = maximumPerClient
    }

    /// Gives a request a place.
    ///
    /// A different request from the same end point means that the client has given up the earlier one: boot ROMs use one
    /// port for all.
    func admit(_ request: TFTPRequest, from endpoint: SocketAddress) -> Admission {
        let client = endpoint.ipAddress ?? "?"
        let (admission, superseded): (Admission, (any Channel)?) = state.withLock { state in
            guard !state.isStopped else { return (.refused(TFTPRefusal(.notDefined, "the server stops")), nil) }
            var superseded: (any Channel)?
            if let number = state.byEndpoint[endpoint], let earlier = state.sessions[number] {
                if earlier.request == request, !earlier.isVacated { return (.repeated, nil) }
                state.sessions[number]?.breakOff = Self.superseded
                superseded = earlier.channel
                state.byEndpoint[endpoint] = nil
            }
            let running = state.sessions.values.filter { !$0.isVacated && $0.breakOff == nil }
            guard running.count < maximum, running.count(where: { $0.client == client }) < maximumPerClient else {
                return (.refused(TFTPRefusal(.notDefined, "too many transfers at once: try again later")), superseded)
            }
            state.lastNumber += 1
            state.sessions[state.lastNumber] = Session(endpoint: endpoint, client: client, request: request)
            state.byEndpoint[endpoint] = state.lastNumber
            return (.admitted(Ticket(number: state.lastNumber, client: client)), superseded)
        }
        superseded?.pipeline.fireUserInboundEventTriggered(Self.superseded)
        return admission
    }

    /// Whether a request that is to be withheld is new, and not the repetition of one that is known.
    func isNewWithheld(_ request: TFTPRequest, from endpoint: SocketAddress) -> Bool {
        state.withLock { state in
            let withheld = WithheldRequest(endpoint: endpoint, request: request)
            guard !state.withheld.contains(withheld) else { return false }
            if state.withheld.count == Self.rememberedWithheld { state.withheld.removeFirst() }
            state.withheld.append(withheld)
            return true
        }
    }

    /// Tells which channel a transfer has. If it was to end meanwhile, it is told so.
    func attach(_ channel: any Channel, to ticket: Ticket) {
        let breakOff = state.withLock { state in
            state.sessions[ticket.number]?.channel = channel
            return state.sessions[ticket.number]?.breakOff
        }
        if let breakOff { channel.pipeline.fireUserInboundEventTriggered(breakOff) }
    }

    /// The transfer is done; its place is free.
    ///
    /// - Returns: whether its channel may stay for repetitions: not if there are too many such already.
    func vacate(_ ticket: Ticket) -> Bool {
        state.withLock { state in
            let mayLinger = !state.isStopped && state.sessions.values.count(where: \.isVacated) < maximum
            state.sessions[ticket.number]?.isVacated = true
            return mayLinger
        }
    }

    /// Nothing is left of the transfer.
    func remove(_ ticket: Ticket) {
        let waiters = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            guard let session = state.sessions.removeValue(forKey: ticket.number) else { return [] }
            if state.byEndpoint[session.endpoint] == ticket.number { state.byEndpoint[session.endpoint] = nil }
            guard state.isStopped, state.sessions.isEmpty else { return [] }
            defer { state.waiters = [] }
            return state.waiters
        }
        waiters.forEach { $0.resume() }
    }

    /// Ends all transfers, and returns when nothing is left of any. Safe to repeat.
    func stop() async {
        let breakOff = BreakOff(reason: "the server stops", isTold: true)
        let channels = state.withLock { state in
            state.isStopped = true
            for number in state.sessions.keys { state.sessions[number]?.breakOff = breakOff }
            return state.sessions.values.compactMap(\.channel)
        }
        for channel in channels { channel.pipeline.fireUserInboundEventTriggered(breakOff) }
        await withCheckedContinuation { continuation in
            let isEmpty = state.withLock { state in
                if !state.sessions.isEmpty { state.waiters.append(continuation) }
                return state.sessions.isEmpty
            }
            if isEmpty { continuation.resume() }
        }
    }

    private static let superseded = BreakOff(reason: "the client asked for something else", isTold: false)
}
