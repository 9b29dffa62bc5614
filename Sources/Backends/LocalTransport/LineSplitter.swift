/// Cuts a byte stream into lines.
struct LineSplitter {
    private var pending: [UInt8] = []
    static let longestLine = 64 * 1024

    mutating func feed(_ bytes: UnsafeRawBufferPointer, _ handler: (String) -> Void) {
        for byte in bytes {
            if byte == UInt8(ascii: "\n") {
                emit(handler)
            } else {
                pending.append(byte)
                if pending.count == Self.longestLine { emit(handler) }
            }
        }
    }

    mutating func finish(_ handler: (String) -> Void) {
        if !pending.isEmpty { emit(handler) }
    }

    private mutating func emit(_ handler: (String) -> Void) {
        if pending.last == UInt8(ascii: "\r") { pending.removeLast() }
        handler(String(decoding: pending, as: UTF8.self))
        pending.removeAll(keepingCapacity: true)
    }
}
