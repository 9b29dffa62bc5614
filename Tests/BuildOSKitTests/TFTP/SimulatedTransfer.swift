import TestSupport

@testable import TFTPStore

/// A sender and a receiver with a link between them that exists in numbers only: no socket, no clock.
struct SimulatedTransfer {
    private enum Packet { case block(Int64), acknowledgement(UInt16) }

    private var sender: TFTPSender
    private var receiver: TFTPReceiver
    private let blocks: Int64
    private var random: SeededGenerator
    private let loss: Double
    private let repetition: Double
    private let reordering: Double
    private var now = Duration.zero
    /// What is on its way, with its time of arrival.
    private var link: [(at: Duration, packet: Packet)] = []

    /// Blocks in the order in which they were stored.
    private(set) var stored: [Int64] = []
    private(set) var sentBlocks = 0
    private(set) var isComplete = false
    private var hasGivenUp = false

    init(
        window: Int,
        blocks: Int64,
        seed: UInt64,
        loss: Double = 0.1,
        repetition: Double = 0.05,
        reordering: Double = 0.05
    ) {
        let patience = 1000
        sender = TFTPSender(
            windowSize: window,
            timeout: .seconds(1),
            maximumRetransmissions: patience,
            offersOptions: false
        )
        receiver = TFTPReceiver(
            blockSize: 8,
            windowSize: window,
            timeout: .seconds(1),
            maximumRetransmissions: patience,
            offersOptions: false
        )
        self.blocks = blocks
        random = SeededGenerator(seed: seed)
        self.loss = loss
        self.repetition = repetition
        self.reordering = reordering
    }

    mutating func run() {
        _ = receiver.start(now: now)
        perform(sender.start())
        while !isComplete, !hasGivenUp {
            let arrival = link.indices.min { link[$0].at < link[$1].at }
            let due = [arrival.map { link[$0].at }, sender.deadline, receiver.deadline].compactMap(\.self).min()
            guard let due else { return }
            now = max(now, due)
            if let arrival, link[arrival].at <= now {
                deliver(link.remove(at: arrival).packet)
            } else {
                perform(sender.timePassed(now: now))
                switch receiver.timePassed(now: now) {
                case .acknowledge(let number): send(.acknowledgement(number))
                case .giveUp: hasGivenUp = true
                case .nothing, .sendOptions, .leave: break
                }
            }
        }
    }

    private mutating func deliver(_ packet: Packet) {
        switch packet {
        case .acknowledgement(let number): perform(sender.acknowledge(number))
        case .block(let block):
            let length = block == blocks ? 3 : 8
            switch receiver.receive(UInt16(truncatingIfNeeded: block), payloadLength: length, now: now) {
            case .nothing, .refuse: break
            case .acknowledge(let number): send(.acknowledgement(number))
            case .store(let number):
                stored.append(block)
                if let number { send(.acknowledgement(number)) }
            case .storeLast:
                stored.append(block)
                send(.acknowledgement(receiver.finished(at: now)))
            }
        }
    }

    private mutating func perform(_ action: TFTPSender.Action) {
        switch action {
        case .nothing, .sendOptions: break
        case .complete: isComplete = true
        case .giveUp: hasGivenUp = true
        case .sendBlocks(let first, let count):
            let last = min(blocks, first + Int64(count) - 1)
            for block in first...last {
                sentBlocks += 1
                send(.block(block))
            }
            sender.sent(through: last, isLast: last == blocks, at: now)
        }
    }

    private mutating func send(_ packet: Packet) {
        guard Double.random(in: 0..<1, using: &random) >= loss else { return }
        for _ in 0..<(Double.random(in: 0..<1, using: &random) < repetition ? 2 : 1) {
            let detour = Double.random(in: 0..<1, using: &random) < reordering ? 5 : 0
            // Packets of one moment arrive in the order in which they were sent.
            let last = link.map(\.at).max() ?? .zero
            link.append((max(now + .milliseconds(10), detour == 0 ? last : .zero) + .milliseconds(detour), packet))
        }
    }
}
