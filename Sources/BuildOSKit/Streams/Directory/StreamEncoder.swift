/// Puts records into bytes, digests them, and writes them in large pieces.
final class StreamEncoder {
    private static let pieceLength = 256 << 10

    private let writer: StreamWriter
    private let digest: StreamDigest
    private var pending: [UInt8] = []

    /// Creates an encoder.
    init(_ writer: StreamWriter) throws(StreamDefect) {
        guard let digest = StreamDigest() else { throw StreamDefect("libcrypto offers no SHA-256") }
        self.writer = writer
        self.digest = digest
        pending.reserveCapacity(2 * Self.pieceLength)
        pending += StreamRecord.magic
    }

    func begin(_ beginning: DirectoryStream.Beginning) throws(StreamFailure) {
        var payload = PayloadWriter()
        payload.put(bytes: Array(beginning.name.utf8))
        payload.put(beginning.origin)
        if let parent = beginning.parent { payload.put(parent) }
        payload.put(raw: payload.bytes.withUnsafeBytes { StreamDigest.of($0) })
        try put(beginning.parent == nil ? .begin : .beginDifference, payload)
    }

    func enter(_ name: EntryName?, _ metadata: EntryMetadata) throws(StreamFailure) {
        var payload = PayloadWriter()
        if let name { payload.put(bytes: name.bytes) }
        payload.put(metadata)
        try put(name == nil ? .enterRoot : .enter, payload)
    }

    func leave() throws(StreamFailure) { try put(.leave, PayloadWriter()) }

    func file(
        _ name: EntryName,
        _ metadata: EntryMetadata,
        size: UInt64,
        base: StreamRecord.FileBase?
    ) throws(StreamFailure) {
        var payload = PayloadWriter()
        payload.put(bytes: name.bytes)
        payload.put(metadata)
        payload.put(size)
        if let base {
            payload.put(bytes: base.path.bytes)
            payload.put(base.size)
            payload.put(base.seconds)
            payload.put(base.nanoseconds)
        }
        try put(base == nil ? .file : .fileWithBase, payload)
    }

    func data(offset: UInt64, _ bytes: UnsafeRawBufferPointer) throws(StreamFailure) {
        head(.data, length: 8 + bytes.count)
        withUnsafeBytes(of: offset.littleEndian) { pending.append(contentsOf: $0) }
        pending.append(contentsOf: bytes)
        try flushIfLarge()
    }

    func same(offset: UInt64, length: UInt64) throws(StreamFailure) {
        var payload = PayloadWriter()
        payload.put(offset)
        payload.put(length)
        try put(.same, payload)
    }

    func attribute(_ attribute: ExtendedAttribute) throws(StreamFailure) {
        var payload = PayloadWriter()
        payload.put(bytes: attribute.nameBytes)
        payload.put(bytes: attribute.value)
        try put(.attribute, payload)
    }

    func symbolicLink(_ name: EntryName, _ metadata: EntryMetadata, target: [UInt8]) throws(StreamFailure) {
        var payload = PayloadWriter()
        payload.put(bytes: name.bytes)
        payload.put(metadata)
        payload.put(bytes: target)
        try put(.symbolicLink, payload)
    }

    func hardLink(_ name: EntryName, to path: EntryPath) throws(StreamFailure) {
        var payload = PayloadWriter()
        payload.put(bytes: name.bytes)
        payload.put(bytes: path.bytes)
        try put(.hardLink, payload)
    }

    func node(_ name: EntryName, _ metadata: EntryMetadata, kind: UInt32, device: UInt64) throws(StreamFailure) {
        var payload = PayloadWriter()
        payload.put(bytes: name.bytes)
        payload.put(metadata)
        payload.put(kind)
        payload.put(device)
        try put(.node, payload)
    }

    /// Ends the stream, and writes what is left of it.
    func end() throws(StreamFailure) {
        head(.end, length: 32)
        try flush()
        try writer.write(digest.finish())
        writer.finish()
    }

    private func put(_ kind: StreamRecord.Kind, _ payload: PayloadWriter) throws(StreamFailure) {
        head(kind, length: payload.bytes.count)
        pending += payload.bytes
        try flushIfLarge()
    }

    private func head(_ kind: StreamRecord.Kind, length: Int) {
        pending.append(kind.rawValue)
        withUnsafeBytes(of: UInt32(length).littleEndian) { pending.append(contentsOf: $0) }
    }

    private func flushIfLarge() throws(StreamFailure) {
        if pending.count >= Self.pieceLength { try flush() }
    }

    private func flush() throws(StreamFailure) {
        pending.withUnsafeBytes { digest.update($0) }
        try writer.write(pending)
        pending.removeAll(keepingCapacity: true)
    }
}

/// Puts the parts of a payload together.
struct PayloadWriter {
    private(set) var bytes: [UInt8] = []

    mutating func put(raw: [UInt8]) { bytes += raw }

    mutating func put(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func put(bytes value: [UInt8]) {
        put(UInt32(value.count))
        bytes += value
    }

    mutating func put(_ metadata: EntryMetadata) {
        put(metadata.mode)
        put(metadata.user)
        put(metadata.group)
        put(metadata.seconds)
        put(metadata.nanoseconds)
    }

    mutating func put(_ origin: SubvolumeOrigin) {
        put(raw: origin.uuid.bytes)
        put(origin.generation)
    }
}
