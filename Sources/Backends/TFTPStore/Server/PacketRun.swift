import NIOCore

/// Data packets of blocks that follow each other, one behind the other in memory, so that they can be read from a file, and
/// sent, in one call to the system each.
struct PacketRun: Sendable {
    /// The first block's number.
    let first: Int64
    let count: Int
    /// Whether the last of them ends the file.
    let isLast: Bool
    /// Bytes of every packet but the last, which may have fewer.
    let packetLength: Int
    /// From the first packet on.
    let buffer: ByteBuffer

    /// No packets.
    init() { self.init(first: 1, count: 0, isLast: false, 1, ByteBuffer()) }

    init(first: Int64, count: Int, isLast: Bool, _ packetLength: Int, _ buffer: ByteBuffer) {
        self.first = first
        self.count = count
        self.isLast = isLast
        self.packetLength = packetLength
        self.buffer = buffer
    }

    /// The packets from a block on, of which there are so many at most; `nil` if that block isn't among them.
    func part(from block: Int64, atMost limit: Int) -> PacketRun? {
        let skipped = Int(block - first)
        guard skipped >= 0, skipped < count, limit > 0 else { return nil }
        let number = min(limit, count - skipped)
        let start = skipped * packetLength
        let length = min(number * packetLength, buffer.readableBytes - start)
        guard let bytes = buffer.getSlice(at: buffer.readerIndex + start, length: length) else { return nil }
        return PacketRun(first: block, count: number, isLast: isLast && skipped + number == count, packetLength, bytes)
    }

    /// Each packet, from a place on.
    func datagrams(from skipped: Int = 0) -> [ByteBuffer] {
        (skipped..<max(skipped, count)).compactMap { index in
            let start = index * packetLength
            let length = min(packetLength, buffer.readableBytes - start)
            return buffer.getSlice(at: buffer.readerIndex + start, length: length)
        }
    }
}
