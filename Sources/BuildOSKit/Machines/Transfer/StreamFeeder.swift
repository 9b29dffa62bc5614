import Synchronization

/// Takes the chunks of a stream from the wire, keeps them in the spool, and passes them on to the storage: on a thread of
/// its own, as each of these may block.
final class StreamFeeder: Sendable {
    private let offer: UploadOffer
    private let connection: FrameConnection
    private let sink: FileDescriptor
    private let spoolFile: (path: FilePath, limit: Int64)?
    private let cut = Mutex(false)

    init(
        offer: UploadOffer,
        connection: FrameConnection,
        sink: FileDescriptor,
        spool: (path: FilePath, limit: Int64)?
    ) {
        self.offer = offer
        self.connection = connection
        self.sink = sink
        self.spoolFile = spool
    }

    /// Whether the sender is gone.
    var isCut: Bool { cut.withLock { $0 } }

    /// Runs to the end of the stream, and closes the sink. Gives back the bytes that came over the wire and those that
    /// were in the spool.
    func run() async -> Result<(received: Int64, resumed: Int64), MachineError> {
        await DedicatedThread.run(name: "machine-feed") {
            defer { try? self.sink.close() }
            return Result { () throws(MachineError) in try self.feed() }
        }
    }

    private func feed() throws(MachineError) -> (received: Int64, resumed: Int64) {
        do {
            let spool = try spoolFile.map {
                try UploadSpool($0.path, chunkSize: offer.chunkSize, limit: $0.limit)
            }
            try connection.write(.message(.ready(wantsStream: true)))
            try connection.write(.digests(spool?.digests ?? []))
            var amounts = (received: Int64(0), resumed: Int64(0))
            var next = 0
            var told = ContinuousClock.now
            while true {
                guard let frame = try nextFrame() else { throw MachineError.cut }
                switch frame {
                case .chunk(let index, let digest, let bytes):
                    guard index == next, bytes.count <= offer.chunkSize else {
                        throw MachineError.badFrame("chunk \(index) came where \(next) should")
                    }
                    // In the spool before it goes on: what the storage got is never more than can be had again.
                    try spool?.store(index, digest, bytes)
                    amounts.received += Int64(bytes.count)
                    try pass(bytes)
                case .same(let index, let digest):
                    guard index == next, let spool, index < spool.digests.count, spool.digests[index] == digest,
                        let chunk = try spool.read(index)
                    else { throw MachineError.badFrame("chunk \(index) is not in the spool") }
                    amounts.resumed += Int64(chunk.count)
                    try pass(chunk[...])
                case .message(.end(let chunks, let bytes)):
                    guard chunks == next, bytes == amounts.received + amounts.resumed else {
                        throw MachineError.badFrame("the stream ended after \(next) of \(chunks) chunks")
                    }
                    return amounts
                case .message(.failed(let error)): throw error
                default: throw MachineError.badFrame("a \(frame.kind) came in the middle of the stream")
                }
                next += 1
                if told.duration(to: .now) > .milliseconds(200) {
                    told = .now
                    try connection.write(.message(.taken(bytes: amounts.received + amounts.resumed)))
                }
            }
        } catch {
            throw MachineError(error, subject: offer.image.description)
        }
    }

    private func nextFrame() throws(MachineError) -> TransferFrame? {
        do throws(MachineError) {
            let frame = try connection.read()
            if frame == nil { cut.withLock { $0 = true } }
            return frame
        } catch {
            if error.kind == .interrupted { cut.withLock { $0 = true } }
            throw error
        }
    }

    private func pass(_ bytes: ArraySlice<UInt8>) throws(MachineError) {
        do {
            try bytes.withUnsafeBytes { try BlockingIO.write($0, to: sink) }
        } catch {
            // The storage takes no more: why, it tells itself.
            throw MachineError(.interrupted, offer.image.description, cause: "the storage takes no more of the stream")
        }
    }
}
