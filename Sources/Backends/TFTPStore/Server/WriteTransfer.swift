import BuildOSKit
import NIOCore

/// Takes a file from a client.
final class WriteTransfer: Transfer {
    /// What is written to the file at once.
    private static let chunkBytes = 64 << 10

    private let file: UploadFile
    private let terms: TFTPTerms
    private let maximumBytes: Int64
    private var receiver: TFTPReceiver
    private var decoder: NetASCII.Decoder?
    private var chunk = ByteBuffer()
    private var byteCount: Int64 = 0
    private var isFinishing = false
    private var isDone = false

    init(
        _ file: UploadFile,
        _ mode: TFTPRequest.Mode,
        _ terms: TFTPTerms,
        _ configuration: ArtifactServerConfiguration,
        maximumBytes: Int64
    ) {
        self.file = file
        self.terms = terms
        self.maximumBytes = maximumBytes
        decoder = mode == .netascii ? NetASCII.Decoder() : nil
        receiver = TFTPReceiver(
            blockSize: terms.blockSize,
            windowSize: terms.windowSize,
            timeout: terms.timeout ?? configuration.retransmissionTimeout,
            maximumRetransmissions: configuration.maximumRetransmissions,
            offersOptions: !terms.granted.isEmpty
        )
    }

    var deadline: Duration? { receiver.deadline }

    func begin(_ session: SessionHandler, now: Duration) { perform(receiver.start(now: now), session) }

    func receive(_ packet: TFTPPacket, _ datagram: ByteBuffer, _ session: SessionHandler, now: Duration) {
        guard case .data(let block, let length) = packet else { return }
        let payload = datagram.readableBytesView.dropFirst(TFTPPacket.dataHeaderLength)
        do throws(TFTPRefusal) {
            switch receiver.receive(block, payloadLength: length, now: now) {
            case .nothing: break
            case .acknowledge(let number): session.send(.acknowledgement(number))
            case .store(let acknowledged):
                try store(payload)
                if let acknowledged { session.send(.acknowledgement(acknowledged)) }
            case .storeLast:
                try store(payload)
                try storeRest()
                finish(session)
            case .refuse: throw TFTPRefusal(.illegalOperation, "the block is larger than agreed")
            }
        } catch {
            _ = breakOff()
            session.refuse(error)
        }
    }

    func timePassed(_ session: SessionHandler, now: Duration) { perform(receiver.timePassed(now: now), session) }

    func breakOff() -> Bool {
        guard !isFinishing else { return false }
        if !isDone { file.discard() }
        isDone = true
        return true
    }

    private func perform(_ overdue: TFTPReceiver.Overdue, _ session: SessionHandler) {
        switch overdue {
        case .nothing: break
        case .sendOptions: session.send(.optionAcknowledgement(terms.granted))
        case .acknowledge(let number): session.send(.acknowledgement(number))
        case .giveUp:
            _ = breakOff()
            session.refuse(TFTPRefusal(.notDefined, "nothing came any more"))
        case .leave: session.close()
        }
    }

    private func store(_ payload: ByteBufferView) throws(TFTPRefusal) {
        if let decoded = decoder?.decode(payload) { try append(decoded) } else { try append(payload) }
    }

    private func storeRest() throws(TFTPRefusal) {
        if let rest = decoder?.finish() { try append(rest) }
        try writeChunk()
    }

    private func append(_ bytes: some Collection<UInt8>) throws(TFTPRefusal) {
        byteCount += Int64(bytes.count)
        guard byteCount <= maximumBytes else {
            throw TFTPRefusal(.diskFull, "a file may have \(maximumBytes) bytes")
        }
        chunk.writeBytes(bytes)
        if chunk.readableBytes >= Self.chunkBytes { try writeChunk() }
    }

    private func writeChunk() throws(TFTPRefusal) {
        let result = chunk.withUnsafeReadableBytes { bytes in
            Result { () throws(TFTPRefusal) in try file.write(bytes) }
        }
        chunk.clear()
        try result.get()
    }

    /// The last block is acknowledged when the file is durable and has its name.
    private func finish(_ session: SessionHandler) {
        isFinishing = true
        let file = file
        session.runBlocking {
            Result { () throws(TFTPRefusal) in try file.commit() }
        } then: { result in
            self.isFinishing = false
            self.isDone = true
            switch result {
            case .success:
                session.send(.acknowledgement(self.receiver.finished(at: .uptime)))
                session.complete(byteCount: self.byteCount, lingering: true)
            case .failure(let refusal): session.refuse(refusal)
            }
        }
    }
}
