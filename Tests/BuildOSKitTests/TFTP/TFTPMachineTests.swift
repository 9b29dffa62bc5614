import TestSupport
import Testing

@testable import TFTPStore

@Suite("TFTP senders and receivers") struct TFTPMachineTests {
    private func sender(window: Int = 1, offers: Bool = false, last: Int64 = 10) -> Sending {
        Sending(
            TFTPSender(windowSize: window, timeout: .seconds(1), maximumRetransmissions: 3, offersOptions: offers),
            last: last
        )
    }

    private func receiver(window: Int = 1, offers: Bool = false) -> TFTPReceiver {
        TFTPReceiver(
            blockSize: 8,
            windowSize: window,
            timeout: .seconds(1),
            maximumRetransmissions: 3,
            offersOptions: offers
        )
    }

    /// A sender whose blocks go nowhere, and which has so many.
    private struct Sending {
        var machine: TFTPSender
        let last: Int64
        var now = Duration.zero
        /// The blocks sent by the latest action.
        var blocks: [Int64] = []

        init(_ machine: TFTPSender, last: Int64) {
            self.machine = machine
            self.last = last
        }

        @discardableResult
        mutating func perform(_ action: TFTPSender.Action) -> TFTPSender.Action {
            blocks = []
            switch action {
            case .sendOptions: machine.sentOptions(at: now)
            case .sendBlocks(let from, let count):
                blocks = Array(from...min(last, from + Int64(count) - 1))
                machine.sent(through: blocks[blocks.count - 1], isLast: blocks.last == last, at: now)
            default: break
            }
            return action
        }
        mutating func start() { perform(machine.start()) }
        @discardableResult
        mutating func acknowledge(_ block: UInt16) -> TFTPSender.Action { perform(machine.acknowledge(block)) }
        @discardableResult
        mutating func wait(_ time: Duration = .seconds(1)) -> TFTPSender.Action {
            now += time
            return perform(machine.timePassed(now: now))
        }
    }

    @Test("RFC 1350: block after block, each after its acknowledgement") func lockStep() {
        var sending = sender(last: 3)
        sending.start()
        #expect(sending.blocks == [1])
        #expect(sending.acknowledge(2) == .nothing)
        sending.acknowledge(1)
        #expect(sending.blocks == [2])
        sending.acknowledge(2)
        #expect(sending.blocks == [3])
        #expect(sending.acknowledge(3) == .complete)
        #expect(sending.acknowledge(3) == .nothing)
        #expect(sending.machine.deadline == nil)
    }

    @Test("RFC 1123, 4.2.3.1: an acknowledgement that comes twice never sends a block twice") func sorcerersApprentice()
    {
        var sending = sender()
        sending.start()
        sending.acknowledge(1)
        #expect(sending.acknowledge(1) == .nothing)
        #expect(sending.acknowledge(0) == .nothing)
        sending.acknowledge(2)
        #expect(sending.blocks == [3])
        #expect(sending.acknowledge(1) == .nothing)
    }

    @Test("what isn't answered is sent again, then given up") func retransmission() {
        var sending = sender()
        sending.start()
        #expect(sending.wait(.milliseconds(999)) == .nothing)
        for _ in 0..<3 {
            sending.wait()
            #expect(sending.blocks == [1])
        }
        sending.acknowledge(1)
        for _ in 0..<3 {
            sending.wait()
            #expect(sending.blocks == [2])
        }
        #expect(sending.wait() == .giveUp)
        #expect(sending.wait() == .nothing)
        #expect(sending.acknowledge(2) == .nothing)
    }

    @Test("RFC 2347: options are sent until block 0 is acknowledged") func options() {
        var sending = sender(offers: true)
        sending.start()
        #expect(sending.blocks.isEmpty)
        #expect(sending.wait() == .sendOptions)
        #expect(sending.acknowledge(1) == .nothing)
        sending.acknowledge(0)
        #expect(sending.blocks == [1])
        #expect(sending.acknowledge(0) == .nothing)
    }

    @Test("RFC 7440: a window at a time; an acknowledgement within it starts the next behind it") func windows() {
        var sending = sender(window: 4)
        sending.start()
        #expect(sending.blocks == [1, 2, 3, 4])
        sending.acknowledge(4)
        #expect(sending.blocks == [5, 6, 7, 8])
        sending.acknowledge(6)
        #expect(sending.blocks == [7, 8, 9, 10])
        #expect(sending.acknowledge(10) == .complete)
    }

    @Test("RFC 7440: a window whose first block is missing is sent again once, and no repetition breeds another")
    func repeatedWindow() {
        var sending = sender(window: 4, last: 100)
        sending.start()
        sending.acknowledge(4)
        sending.acknowledge(4)
        #expect(sending.blocks == [5, 6, 7, 8])
        #expect(sending.acknowledge(4) == .nothing)
        sending.acknowledge(8)
        // The receiver may have acknowledged 8 once for either copy.
        #expect(sending.acknowledge(8) == .nothing)
        sending.acknowledge(12)
        sending.acknowledge(12)
        #expect(sending.blocks == [13, 14, 15, 16])
    }

    @Test("while blocks wait to be sent there is no time limit, and old acknowledgements do nothing") func slowSending()
    {
        var machine = TFTPSender(windowSize: 4, timeout: .seconds(1), maximumRetransmissions: 3, offersOptions: false)
        #expect(machine.start() == .sendBlocks(from: 1, count: 4))
        machine.sent(through: 2, isLast: false, at: nil)
        #expect(machine.deadline == nil)
        #expect(machine.timePassed(now: .seconds(100)) == .nothing)
        #expect(machine.acknowledge(0) == .nothing)
        #expect(machine.acknowledge(3) == .nothing)
        #expect(machine.acknowledge(2) == .sendBlocks(from: 3, count: 4))
    }

    @Test("block numbers roll over to 0, more than once", arguments: [1, 7, 65_535]) func rollOver(window: Int) {
        var sending = sender(window: window, last: 200_000)
        var receiving = receiver(window: window)
        _ = receiving.start(now: .zero)
        sending.start()
        var stored: Int64 = 0
        while true {
            var answer: UInt16?
            for block in sending.blocks {
                let length = block == sending.last ? 0 : 8
                switch receiving.receive(UInt16(truncatingIfNeeded: block), payloadLength: length, now: .zero) {
                case .store(let number):
                    stored += 1
                    if let number { answer = number }
                case .storeLast:
                    stored += 1
                    answer = receiving.finished(at: .zero)
                default: Issue.record("block \(block) was not taken")
                }
            }
            guard let answer else {
                Issue.record("no acknowledgement at \(stored)")
                return
            }
            if sending.acknowledge(answer) == .complete { break }
        }
        #expect(stored == 200_000)
    }

    @Test("a block that comes twice is stored once and acknowledged again") func duplicates() {
        var receiving = receiver()
        #expect(receiving.start(now: .zero) == .acknowledge(0))
        #expect(receiving.receive(1, payloadLength: 8, now: .zero) == .store(acknowledging: 1))
        #expect(receiving.receive(1, payloadLength: 8, now: .zero) == .acknowledge(1))
        #expect(receiving.receive(3, payloadLength: 8, now: .zero) == .nothing)
        #expect(receiving.receive(0, payloadLength: 8, now: .zero) == .nothing)
        #expect(receiving.receive(2, payloadLength: 9, now: .zero) == .refuse)
        #expect(receiving.receive(2, payloadLength: 0, now: .zero) == .storeLast)
        #expect(receiving.receive(2, payloadLength: 0, now: .zero) == .nothing)
        #expect(receiving.finished(at: .zero) == 2)
        #expect(receiving.receive(2, payloadLength: 0, now: .zero) == .acknowledge(2))
        #expect(receiving.timePassed(now: .seconds(11)) == .nothing)
        #expect(receiving.timePassed(now: .seconds(12)) == .leave)
        #expect(receiving.receive(2, payloadLength: 0, now: .seconds(12)) == .nothing)
    }

    @Test("RFC 7440: a gap is reported once, with the last block in order") func gaps() {
        var receiving = receiver(window: 4, offers: true)
        #expect(receiving.start(now: .zero) == .sendOptions)
        #expect(receiving.receive(1, payloadLength: 8, now: .zero) == .store(acknowledging: nil))
        #expect(receiving.receive(3, payloadLength: 8, now: .zero) == .acknowledge(1))
        #expect(receiving.receive(4, payloadLength: 8, now: .zero) == .nothing)
        for block in 2...4 as ClosedRange<UInt16> {
            #expect(receiving.receive(block, payloadLength: 8, now: .zero) == .store(acknowledging: nil))
        }
        #expect(receiving.receive(5, payloadLength: 8, now: .zero) == .store(acknowledging: 5))
        // A block of the window that comes again brings nothing forth, but the last one does.
        #expect(receiving.receive(3, payloadLength: 8, now: .zero) == .nothing)
        #expect(receiving.receive(5, payloadLength: 8, now: .zero) == .acknowledge(5))
    }

    @Test("a receiver repeats itself, then gives up") func silence() {
        var receiving = receiver(offers: true)
        _ = receiving.start(now: .zero)
        #expect(receiving.timePassed(now: .seconds(1)) == .sendOptions)
        #expect(receiving.receive(1, payloadLength: 8, now: .seconds(1)) == .store(acknowledging: 1))
        for second in 2...4 { #expect(receiving.timePassed(now: .seconds(second)) == .acknowledge(1)) }
        #expect(receiving.timePassed(now: .seconds(5)) == .giveUp)
        #expect(receiving.deadline == nil)
    }

    @Test(
        "over links that lose, repeat and reorder packets, every block arrives once, in order, without a flood",
        arguments: [1, 2, 8, 64],
        [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64]
    ) func lossyLink(window: Int, seed: UInt64) {
        var link = SimulatedTransfer(window: window, blocks: 2000, seed: seed)
        link.run()
        #expect(link.isComplete)
        #expect(link.stored == Array(1...2000))
        // Each tenth packet is lost: a window of 64 is cut some six times on its way.
        #expect(link.sentBlocks < 2000 * (window < 8 ? 2 : 8), "\(link.sentBlocks) blocks were sent")
    }

    @Test("over a link that repeats every packet, nothing is sent more than twice", arguments: [1, 4, 64])
    func repeatingLink(window: Int) {
        var link = SimulatedTransfer(window: window, blocks: 2000, seed: 1, loss: 0, repetition: 1, reordering: 0)
        link.run()
        #expect(link.stored == Array(1...2000))
        #expect(link.sentBlocks <= 2 * 2000)
        if window == 1 { #expect(link.sentBlocks == 2000) }
    }

    @Test("rate: what is sent at once is waited for afterwards") func rate() {
        var bucket = TokenBucket(bytesPerSecond: 1000, now: .zero)
        #expect(bucket.take(250, now: .zero) == .zero)
        #expect(bucket.take(500, now: .zero) == .zero)
        #expect(bucket.take(500, now: .zero) == .milliseconds(500))
        #expect(bucket.take(500, now: .seconds(1)) == .zero)
        #expect(!bucket.isFull(now: .seconds(1)))
        #expect(bucket.isFull(now: .seconds(10)))
    }
}
