/// What crosses the wire between who sends an image and who receives it.
///
/// A frame is `BM`, a byte for its kind, a zero, and the length of what follows as four bytes, big-endian. Chunks carry
/// their index in the stream (4 bytes) and their XXH64 digest (8 bytes) before their data.
enum TransferFrame: Sendable, Hashable {
    /// JSON.
    case message(TransferMessage)
    /// A piece of the stream.
    case chunk(index: Int, digest: UInt64, bytes: ArraySlice<UInt8>)
    /// A piece that the receiver has in its spool.
    case same(index: Int, digest: UInt64)
    /// The digests of what the receiver has in its spool.
    case digests([UInt64])
    /// Bytes without meaning, by which the speed of the way is measured.
    case probe(count: Int)

    /// The largest chunk that is accepted, in bytes.
    static let chunkLimit = 4 << 20
    /// Length of a frame's head.
    static let headLength = 8
    /// Bytes of a chunk's frame before its data.
    static let chunkHeadLength = 12

    /// The kinds of frames, with the most bytes that each may hold.
    enum Kind: UInt8, Sendable {
        case message = 1
        case chunk, same, digests, probe

        var limit: Int {
            switch self {
            case .message: 1 << 20
            case .chunk: TransferFrame.chunkHeadLength + TransferFrame.chunkLimit
            case .same: TransferFrame.chunkHeadLength
            case .digests: 8 << 20
            case .probe: 4 << 20
            }
        }
    }

    var kind: Kind {
        switch self {
        case .message: .message
        case .chunk: .chunk
        case .same: .same
        case .digests: .digests
        case .probe: .probe
        }
    }

    /// The head of a frame.
    static func head(_ kind: Kind, length: Int) -> [UInt8] {
        Array("BM".utf8) + [kind.rawValue, 0] + bigEndian(UInt32(truncatingIfNeeded: length))
    }

    /// Reads the head of a frame.
    ///
    /// - Throws: ``MachineError`` of kind `protocolError`.
    static func parse(head: [UInt8]) throws(MachineError) -> (kind: Kind, length: Int) {
        guard head.count == headLength, head[0] == UInt8(ascii: "B"), head[1] == UInt8(ascii: "M"), head[3] == 0 else {
            throw MachineError(
                .protocolError,
                "machine protocol",
                cause:
                    "the other side wrote '\(printable(String(decoding: head, as: UTF8.self)))' where a frame begins",
                remedy: "see that the log-in there prints nothing, and that both sides have the same buildosctl"
            )
        }
        guard let kind = Kind(rawValue: head[2]) else { throw .badFrame("kind \(head[2]) is not known") }
        let length = Int(integer(head[4...], as: UInt32.self))
        guard length <= kind.limit else { throw .badFrame("a frame of \(length) bytes is too long") }
        return (kind, length)
    }

    /// Everything before a chunk's data, or the whole of another frame.
    func encoded() throws -> [UInt8] {
        switch self {
        case .message(let message):
            let body = try message.encoded()
            return Self.head(.message, length: body.count) + body
        case .chunk(let index, let digest, let bytes):
            return Self.head(.chunk, length: Self.chunkHeadLength + bytes.count) + Self.chunkHead(index, digest)
        case .same(let index, let digest):
            return Self.head(.same, length: Self.chunkHeadLength) + Self.chunkHead(index, digest)
        case .digests(let digests):
            return Self.head(.digests, length: 8 * digests.count) + digests.flatMap { Self.bigEndian($0) }
        case .probe(let count):
            return Self.head(.probe, length: count) + [UInt8](repeating: 0x5a, count: count)
        }
    }

    /// Reads what follows a head.
    ///
    /// - Throws: ``MachineError`` of kind `protocolError`, also for a chunk that isn't what its digest says.
    init(_ kind: Kind, payload: [UInt8]) throws(MachineError) {
        switch kind {
        case .message: self = .message(try TransferMessage(payload))
        case .chunk:
            guard payload.count > Self.chunkHeadLength else { throw .badFrame("a chunk is empty") }
            let bytes = payload[Self.chunkHeadLength...]
            let digest = Self.integer(payload[4..<12], as: UInt64.self)
            guard XXHash64.digest(bytes) == digest else { throw .badFrame("a chunk is not what its digest says") }
            self = .chunk(index: Int(Self.integer(payload[..<4], as: UInt32.self)), digest: digest, bytes: bytes)
        case .same:
            guard payload.count == Self.chunkHeadLength else { throw .badFrame("a reference has a wrong length") }
            self = .same(
                index: Int(Self.integer(payload[..<4], as: UInt32.self)),
                digest: Self.integer(payload[4...], as: UInt64.self)
            )
        case .digests:
            guard payload.count % 8 == 0 else { throw .badFrame("a list of digests has a wrong length") }
            self = .digests(
                stride(from: 0, to: payload.count, by: 8).map {
                    Self.integer(payload[$0..<($0 + 8)], as: UInt64.self)
                }
            )
        case .probe: self = .probe(count: payload.count)
        }
    }

    private static func chunkHead(_ index: Int, _ digest: UInt64) -> [UInt8] {
        bigEndian(UInt32(truncatingIfNeeded: index)) + bigEndian(digest)
    }

    private static func bigEndian(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }

    private static func integer<Integer: FixedWidthInteger>(_ bytes: ArraySlice<UInt8>, as: Integer.Type) -> Integer {
        bytes.reduce(0) { $0 << 8 | Integer($1) }
    }
}

extension MachineError {
    static func badFrame(_ cause: String) -> MachineError {
        MachineError(
            .protocolError,
            "machine protocol",
            cause: cause,
            remedy: "run it again; if it happens again, see that both sides have the same buildosctl"
        )
    }
}
