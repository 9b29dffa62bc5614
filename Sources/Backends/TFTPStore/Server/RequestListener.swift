import NIOCore

/// The socket that requests come to.
final class RequestListener: ChannelInboundHandler, Sendable {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private let take: @Sendable (_ request: TFTPRequest, _ client: SocketAddress, _ arrivedAt: SocketAddress?) -> Void
    private let refuse: @Sendable (TFTPRefusal, _ client: SocketAddress, _ arrivedAt: SocketAddress?) -> Void

    init(
        take: @escaping @Sendable (TFTPRequest, SocketAddress, SocketAddress?) -> Void,
        refuse: @escaping @Sendable (TFTPRefusal, SocketAddress, SocketAddress?) -> Void
    ) {
        self.take = take
        self.refuse = refuse
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        let arrivedAt = envelope.metadata?.packetInfo?.destinationAddress
        do throws(TFTPRefusal) {
            // Other packets than requests are stray ones of earlier transfers, and stay unanswered.
            guard case .request(let request) = try TFTPPacket(parsing: envelope.data) else { return }
            take(request, envelope.remoteAddress, arrivedAt)
        } catch {
            refuse(error, envelope.remoteAddress, arrivedAt)
        }
    }

    /// What goes wrong with one packet is no reason to stop.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
