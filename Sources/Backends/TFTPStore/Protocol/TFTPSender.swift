/// The side of a transfer that sends blocks: events in, actions out, no clock and no socket of its own.
///
/// Blocks have numbers from 1 that don't roll over here; the 16 bits on the wire are taken for the one number that is
/// awaited. Points in time are durations since a moment that the caller chooses.
///
/// An acknowledgement that comes twice never sends a block twice with a window of one block (the sorcerer's apprentice,
/// RFC 1123, 4.2.3.1). With larger windows it is also how a receiver says that the first block of a window is missing (RFC
/// 7440, 4), so the window is sent again, but at most once, and not if it follows a window that was itself sent again: such
/// a repetition can be what brought the acknowledgement forth.
struct TFTPSender: Sendable {
    /// What is to be done.
    enum Action: Equatable, Sendable {
        case nothing
        /// Send the option acknowledgement and call ``TFTPSender/sentOptions(at:)``.
        case sendOptions
        /// Send so many blocks, or as many as there are, and call ``TFTPSender/sent(through:isLast:at:)``.
        case sendBlocks(from: Int64, count: Int)
        /// The last block was acknowledged.
        case complete
        /// There was no answer to any repetition.
        case giveUp
    }

    private enum Phase { case offering, sending, ended }

    private let windowSize: Int64
    private let timeout: Duration
    private let maximumRetransmissions: Int
    private var phase: Phase
    private var acknowledged: Int64 = 0
    private var sent: Int64 = 0
    private var lastBlock: Int64?
    private var retransmissions = 0
    /// Whether blocks of this window were sent more than once, and whether those of the one before were.
    private var isRepeated = false
    private var wasRepeated = false
    /// When ``timePassed(now:)`` will have something to do; `nil` while the caller sends.
    private(set) var deadline: Duration?

    /// Creates a sender; ``start()`` says what is first.
    ///
    /// - Parameter offersOptions: whether options were granted, which the client must acknowledge with block 0.
    init(windowSize: Int, timeout: Duration, maximumRetransmissions: Int, offersOptions: Bool) {
        self.windowSize = Int64(windowSize)
        self.timeout = timeout
        self.maximumRetransmissions = maximumRetransmissions
        phase = offersOptions ? .offering : .sending
    }

    mutating func start() -> Action { phase == .offering ? .sendOptions : window() }

    mutating func sentOptions(at now: Duration) { deadline = now + timeout }

    /// Blocks up to this one are on their way. At the end of what was to be sent the time counts from `now` on; `nil` says
    /// that more of it follows.
    mutating func sent(through block: Int64, isLast: Bool, at now: Duration?) {
        sent = max(sent, block)
        if isLast { lastBlock = block }
        deadline = now.map { $0 + timeout }
    }

    mutating func acknowledge(_ number: UInt16) -> Action {
        switch phase {
        case .ended: return .nothing
        case .offering:
            guard number == 0 else { return .nothing }
            phase = .sending
            retransmissions = 0
            return window()
        case .sending:
            let distance = Int64(number &- UInt16(truncatingIfNeeded: acknowledged))
            guard distance <= sent - acknowledged else { return .nothing }
            return distance == 0 ? acknowledgedAgain() : advance(by: distance)
        }
    }

    mutating func timePassed(now: Duration) -> Action {
        guard phase != .ended, let deadline, now >= deadline else { return .nothing }
        guard retransmissions < maximumRetransmissions else {
            phase = .ended
            self.deadline = nil
            return .giveUp
        }
        retransmissions += 1
        guard phase == .sending else {
            self.deadline = nil
            return .sendOptions
        }
        isRepeated = true
        return window()
    }

    private mutating func acknowledgedAgain() -> Action {
        guard windowSize > 1, sent > acknowledged, deadline != nil, !isRepeated, !wasRepeated else { return .nothing }
        isRepeated = true
        return window()
    }

    private mutating func advance(by distance: Int64) -> Action {
        acknowledged += distance
        retransmissions = 0
        if acknowledged == lastBlock {
            phase = .ended
            deadline = nil
            return .complete
        }
        wasRepeated = isRepeated
        isRepeated = sent > acknowledged
        return window()
    }

    private mutating func window() -> Action {
        deadline = nil
        let count = lastBlock.map { min(windowSize, $0 - acknowledged) } ?? windowSize
        return .sendBlocks(from: acknowledged + 1, count: Int(count))
    }
}
