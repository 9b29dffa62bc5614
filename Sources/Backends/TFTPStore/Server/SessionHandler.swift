import BuildOSKit
import CTFTPFiles
import NIOCore
import NIOPosix

/// What a session does with packets and time; a read or a write.
protocol Transfer: AnyObject {
    /// When ``timePassed(_:now:)`` is to be called.
    var deadline: Duration? { get }
    func begin(_ session: SessionHandler, now: Duration)
    func receive(_ packet: TFTPPacket, _ datagram: ByteBuffer, _ session: SessionHandler, now: Duration)
    func timePassed(_ session: SessionHandler, now: Duration)
    /// Takes back what was begun.
    ///
    /// - Returns: whether the session may end now; if not, the transfer ends it before long.
    func breakOff() -> Bool
}

/// The socket of one transfer: its time, its packets, and its end.
final class SessionHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    private let client: SocketAddress
    /// The channel's, which closes it when it is active no longer.
    private let socket: Int32
    private let ticket: SessionRegistry.Ticket
    private let registry: SessionRegistry
    private let report: @Sendable (ArtifactTransfer.Stage) -> Void
    private let transfer: any Transfer
    private var context: ChannelHandlerContext?
    private var timer: (task: Scheduled<Void>, deadline: Duration)?
    private var isReported = false

    init(
        client: SocketAddress,
        socket: Int32,
        ticket: SessionRegistry.Ticket,
        registry: SessionRegistry,
        transfer: any Transfer,
        report: @escaping @Sendable (ArtifactTransfer.Stage) -> Void
    ) {
        self.client = client
        self.socket = socket
        self.ticket = ticket
        self.registry = registry
        self.transfer = transfer
        self.report = report
    }

    /// Whether the session's end is near: nothing more is to be begun.
    private(set) var isClosing = false

    /// The client's address, without its port.
    var clientAddress: String { ticket.client }

    // MARK: What transfers use

    /// Sends datagrams to the client.
    func send(_ datagrams: some Sequence<ByteBuffer>) {
        guard let context, !isClosing else { return }
        for datagram in datagrams {
            context.write(wrapOutboundOut(AddressedEnvelope(remoteAddress: client, data: datagram)), promise: nil)
        }
        context.flush()
    }

    /// Sends data to the client, past NIO's queue as long as the socket takes it: a window is then one call to the system, and
    /// a block a fifth less of this process's own work.
    func send(_ run: PacketRun) {
        guard let context, !isClosing, context.channel.isActive else { return }
        var sent = 0
        while sent < run.count {
            let result = run.buffer.withUnsafeReadableBytes { bytes in
                let rest = UnsafeRawBufferPointer(rebasing: bytes.dropFirst(sent * run.packetLength))
                return client.withSockAddr { address, length in
                    ctftp_send(socket, rest.baseAddress, rest.count, run.packetLength, address, UInt32(length))
                }
            }
            guard result > 0 else { return send(run.datagrams(from: sent)) }
            sent += Int(result)
        }
    }

    func send(_ packet: TFTPPacket) { send([ByteBuffer(bytes: packet.encoded)]) }

    /// Ends the session well. A channel that lingers stays for repetitions until the transfer calls ``close()``.
    func complete(byteCount: Int64, lingering: Bool) {
        // Whoever hears of the end finds the place free.
        let mayLinger = registry.vacate(ticket)
        reportOnce(.completed(byteCount: byteCount))
        if !lingering || !mayLinger { close() }
    }

    /// Ends the session with an error that the client is told.
    func refuse(_ refusal: TFTPRefusal) {
        send(.error(refusal))
        fail(refusal.message)
    }

    /// Ends the session with an error.
    func fail(_ reason: String) {
        _ = registry.vacate(ticket)
        reportOnce(.failed(reason))
        close()
    }

    func close() {
        guard !isClosing else { return }
        isClosing = true
        timer?.task.cancel()
        timer = nil
        context?.close(promise: nil)
    }

    /// Runs on a thread that may wait, and goes on here.
    func runBlocking<Value: Sendable>(
        _ body: @escaping @Sendable () -> Value,
        then: @escaping (Value) -> Void
    ) {
        guard let context else { return }
        NIOThreadPool.singleton.runIfActive(eventLoop: context.eventLoop, body).assumeIsolated().whenSuccess { value in
            then(value)
            self.watchTime()
        }
    }

    /// Goes on after a time, unless the session has ended by then.
    func later(_ wait: Duration, _ body: @escaping () -> Void) {
        let deadline = NIODeadline(.uptime + wait)
        context?.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
            guard !self.isClosing else { return }
            body()
            self.watchTime()
        }
    }

    // MARK: What the channel tells

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { begin() }
    }

    func channelActive(context: ChannelHandlerContext) { begin() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        guard !isClosing else { return }
        let parsed = Result { () throws(TFTPRefusal) in try TFTPPacket(parsing: envelope.data) }
        guard envelope.remoteAddress == client else { return answerStranger(envelope.remoteAddress, parsed) }
        switch parsed {
        case .failure: break
        case .success(.error(let code, let message)):
            if transfer.breakOff() { fail("the client ended it with error \(code): \(message)") }
        case .success(let packet):
            transfer.receive(packet, envelope.data, self, now: .uptime)
            watchTime()
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let breakOff = event as? SessionRegistry.BreakOff else {
            return context.fireUserInboundEventTriggered(event)
        }
        guard !isClosing, transfer.breakOff() else { return }
        // A client whose transfer is done has nothing to be told.
        if isReported { return close() }
        if breakOff.isTold { refuse(TFTPRefusal(.notDefined, breakOff.reason)) } else { fail(breakOff.reason) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard !isClosing else { return }
        if transfer.breakOff() { fail("the socket failed: \(error)") }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if !isClosing, transfer.breakOff() { reportOnce(.failed("the socket failed")) }
        isClosing = true
        timer?.task.cancel()
        self.context = nil
        registry.remove(ticket)
    }

    private var hasBegun = false

    private func begin() {
        guard !hasBegun else { return }
        hasBegun = true
        report(.began)
        transfer.begin(self, now: .uptime)
        watchTime()
    }

    private func reportOnce(_ stage: ArtifactTransfer.Stage) {
        guard !isReported else { return }
        isReported = true
        report(stage)
    }

    /// A transfer is known by both ends' ports (RFC 1350, 4). An error is never answered with an error.
    private func answerStranger(_ stranger: SocketAddress, _ packet: Result<TFTPPacket, TFTPRefusal>) {
        if case .success(.error) = packet { return }
        let answer = TFTPPacket.error(TFTPRefusal(.unknownTransferID, "this port serves another transfer"))
        let envelope = AddressedEnvelope(remoteAddress: stranger, data: ByteBuffer(bytes: answer.encoded))
        context?.writeAndFlush(wrapOutboundOut(envelope), promise: nil)
    }

    /// Has one timer run at most: deadlines move with every packet, so it looks again when it is due.
    private func watchTime() {
        guard !isClosing, let context, let deadline = transfer.deadline else { return }
        if let timer {
            guard timer.deadline > deadline else { return }
            timer.task.cancel()
        }
        let task = context.eventLoop.assumeIsolated().scheduleTask(deadline: NIODeadline(deadline)) {
            self.timer = nil
            guard !self.isClosing else { return }
            self.transfer.timePassed(self, now: .uptime)
            self.watchTime()
        }
        timer = (task, deadline)
    }
}

extension TFTPPacket {
    init(parsing datagram: ByteBuffer) throws(TFTPRefusal) {
        let result = datagram.withUnsafeReadableBytes { bytes in
            let span = bytes.bindMemory(to: UInt8.self).span
            return Result { () throws(TFTPRefusal) in try TFTPPacket(span) }
        }
        self = try result.get()
    }
}
