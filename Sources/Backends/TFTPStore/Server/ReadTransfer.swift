import BuildOSKit
import NIOCore

/// Sends a file to a client.
final class ReadTransfer: Transfer {
    private let content: ServedContent
    private let terms: TFTPTerms
    private let rate: RateLimit?
    private var sender: TFTPSender
    /// Packets made ahead: reading a block at a time would cost a call to the system for each.
    private var ready = PacketRun()
    private static let aheadBytes = 48 << 10
    /// The blocks that are to be sent now.
    private var next: Int64 = 1
    private var left = 0
    /// Counts what was asked to be sent, so that what was waited for and isn't wanted any more is known.
    private var round = 0

    init(
        _ content: ServedContent,
        _ terms: TFTPTerms,
        _ configuration: ArtifactServerConfiguration,
        rate: RateLimit?
    ) {
        self.content = content
        self.terms = terms
        self.rate = rate
        sender = TFTPSender(
            windowSize: terms.windowSize,
            timeout: terms.timeout ?? configuration.retransmissionTimeout,
            maximumRetransmissions: configuration.maximumRetransmissions,
            offersOptions: !terms.granted.isEmpty
        )
    }

    var deadline: Duration? { sender.deadline }

    func begin(_ session: SessionHandler, now: Duration) { perform(sender.start(), session, now) }

    func receive(_ packet: TFTPPacket, _ datagram: ByteBuffer, _ session: SessionHandler, now: Duration) {
        // Anything but an acknowledgement has no place here, and the client no state that an error would mend.
        guard case .acknowledgement(let block) = packet else { return }
        perform(sender.acknowledge(block), session, now)
    }

    func timePassed(_ session: SessionHandler, now: Duration) { perform(sender.timePassed(now: now), session, now) }

    func breakOff() -> Bool { true }

    private func perform(_ action: TFTPSender.Action, _ session: SessionHandler, _ now: Duration) {
        switch action {
        case .nothing: break
        case .sendOptions:
            session.send(.optionAcknowledgement(terms.granted))
            sender.sentOptions(at: now)
        case .sendBlocks(let first, let count):
            next = first
            left = count
            round += 1
            sendWithinRate(session, now)
        case .complete: session.complete(byteCount: content.size, lingering: false)
        case .giveUp: session.refuse(TFTPRefusal(.notDefined, "there was no answer"))
        }
    }

    private func sendWithinRate(_ session: SessionHandler, _ now: Duration) {
        guard let rate else { return send(session) }
        let offset = (next - 1) * Int64(terms.blockSize)
        let bytes = Int(min(Int64(left * terms.blockSize), content.size - offset))
        let wait = rate.take(bytes, for: session.clientAddress, now: now)
        guard wait > .zero else { return send(session) }
        let expected = round
        session.later(wait) {
            if self.round == expected { self.send(session) }
        }
    }

    private func send(_ session: SessionHandler) {
        while left > 0 {
            if sendReady(session) { continue }
            let (first, blockSize, content) = (next, terms.blockSize, content)
            let count = max(left, Self.aheadBytes / blockSize)
            let batch = content.packets(from: first, count: count, blockSize: blockSize, waits: false)
            if case .wouldWait = batch {
                let expected = round
                session.runBlocking {
                    content.packets(from: first, count: count, blockSize: blockSize, waits: true)
                } then: { batch in
                    guard self.round == expected, !session.isClosing else { return }
                    if self.keep(batch, session) { self.send(session) }
                }
                return
            }
            guard keep(batch, session) else { return }
        }
    }

    /// Sends what is ready of the blocks that are to be sent; returns whether there was any.
    private func sendReady(_ session: SessionHandler) -> Bool {
        guard let part = ready.part(from: next, atMost: left) else { return false }
        session.send(part)
        next += Int64(part.count)
        left = part.isLast ? 0 : left - part.count
        sender.sent(through: next - 1, isLast: part.isLast, at: left == 0 ? .uptime : nil)
        return true
    }

    /// Keeps packets for now and for what is asked for next; returns whether there are any.
    private func keep(_ batch: ServedContent.Batch, _ session: SessionHandler) -> Bool {
        switch batch {
        case .packets(let packets):
            ready = packets
            return true
        case .failed(let refusal): session.refuse(refusal)
        case .wouldWait: session.refuse(TFTPRefusal(.notDefined, "the file can't be read"))
        }
        return false
    }
}
