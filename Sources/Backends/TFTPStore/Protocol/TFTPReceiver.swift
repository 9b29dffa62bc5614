/// The side of a transfer that receives blocks: events in, reactions out, no clock and no socket of its own.
///
/// Every block in order is stored once. An acknowledgement is sent at the end of a window, once for a gap, for a repetition
/// of the block acknowledged last, and when nothing came for a time (RFC 1350, 2 and 6; RFC 7440, 4).
struct TFTPReceiver: Sendable {
    /// What is to be done about a block.
    enum Reaction: Equatable, Sendable {
        case nothing
        case acknowledge(UInt16)
        /// Store the payload; then acknowledge, if there is a number.
        case store(acknowledging: UInt16?)
        /// Store the payload, make the file durable, and call ``TFTPReceiver/finished(at:)``.
        case storeLast
        /// The block is larger than agreed.
        case refuse
    }

    /// What is to be done as nothing came.
    enum Overdue: Equatable, Sendable {
        case nothing
        case sendOptions
        case acknowledge(UInt16)
        case giveUp
        /// The last acknowledgement must have arrived.
        case leave
    }

    private enum Phase { case receiving, finishing, lingering, ended }
    /// Repetitions of the last block are answered for so long at least: tftp-hpa and atftp repeat themselves after 5 s.
    private static let leastLingering = Duration.seconds(12)

    private let blockSize: Int
    private let windowSize: Int64
    private let timeout: Duration
    private let maximumRetransmissions: Int
    private let offersOptions: Bool
    private var phase = Phase.receiving
    /// The last block in order.
    private var received: Int64 = 0
    private var acknowledged: Int64 = 0
    /// The block at which the sender's window ends.
    private var windowEnd: Int64
    private var hasReportedGap = false
    private var retransmissions = 0
    /// When ``timePassed(now:)`` will have something to do.
    private(set) var deadline: Duration?

    init(blockSize: Int, windowSize: Int, timeout: Duration, maximumRetransmissions: Int, offersOptions: Bool) {
        self.blockSize = blockSize
        self.windowSize = Int64(windowSize)
        self.timeout = timeout
        self.maximumRetransmissions = maximumRetransmissions
        self.offersOptions = offersOptions
        windowEnd = Int64(windowSize)
    }

    /// The first packet to send: the options, or the acknowledgement of block 0.
    mutating func start(now: Duration) -> Overdue {
        deadline = now + timeout
        return first
    }

    mutating func receive(_ number: UInt16, payloadLength: Int, now: Duration) -> Reaction {
        switch phase {
        case .finishing, .ended: return .nothing
        case .lingering:
            return number == wire(received) ? .acknowledge(number) : .nothing
        case .receiving:
            guard payloadLength <= blockSize else { return .refuse }
            let ahead = number &- wire(received + 1)
            if ahead == 0 { return accept(payloadLength, now) }
            // At most a window is on its way: what seems further ahead is an old block.
            return Int64(ahead) < windowSize ? gap(now) : repetition(behind: Int64(0 &- ahead), now)
        }
    }

    /// The file is complete and in place.
    ///
    /// - Returns: the number to acknowledge.
    mutating func finished(at now: Duration) -> UInt16 {
        phase = .lingering
        deadline = now + max(timeout * 3, Self.leastLingering)
        return wire(received)
    }

    mutating func timePassed(now: Duration) -> Overdue {
        guard let deadline, now >= deadline else { return .nothing }
        switch phase {
        case .finishing, .ended: return .nothing
        case .lingering:
            end()
            return .leave
        case .receiving:
            guard retransmissions < maximumRetransmissions else {
                end()
                return .giveUp
            }
            retransmissions += 1
            self.deadline = now + timeout
            guard received > 0 else { return first }
            return .acknowledge(acknowledgement())
        }
    }

    private var first: Overdue { offersOptions ? .sendOptions : .acknowledge(0) }

    private mutating func end() {
        phase = .ended
        deadline = nil
    }

    private func wire(_ block: Int64) -> UInt16 { UInt16(truncatingIfNeeded: block) }

    private mutating func accept(_ payloadLength: Int, _ now: Duration) -> Reaction {
        received += 1
        retransmissions = 0
        hasReportedGap = false
        deadline = now + timeout
        if payloadLength < blockSize {
            phase = .finishing
            deadline = nil
            return .storeLast
        }
        return .store(acknowledging: received >= windowEnd ? acknowledgement() : nil)
    }

    private mutating func gap(_ now: Duration) -> Reaction {
        guard !hasReportedGap else { return .nothing }
        hasReportedGap = true
        deadline = now + timeout
        return .acknowledge(acknowledgement())
    }

    /// A block came that is there already: `behind` 1 is the last one.
    private mutating func repetition(behind: Int64, _ now: Duration) -> Reaction {
        guard behind <= min(received, windowSize) else { return .nothing }
        let block = received + 1 - behind
        // The sender began a window at this block, or earlier.
        windowEnd = min(windowEnd, max(received + 1, block + windowSize - 1))
        guard block == received, acknowledged == received else { return .nothing }
        deadline = now + timeout
        return .acknowledge(acknowledgement())
    }

    private mutating func acknowledgement() -> UInt16 {
        acknowledged = received
        windowEnd = received + windowSize
        return wire(received)
    }
}
