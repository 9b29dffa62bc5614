/// Cuts a byte stream into lines, as ``CommandOutput/lines(_:)`` promises them: for transports.
public struct LineSplitter {
    private var pending: [UInt8] = []
    /// Bytes after which a line is cut.
    public static let longestLine = 64 * 1024

    /// Creates a splitter at the beginning of a line.
    public init() {}

    /// Takes bytes and hands out the lines that end in them.
    public mutating func feed(_ bytes: UnsafeRawBufferPointer, _ handler: (String) -> Void) {
        for byte in bytes {
            if byte == UInt8(ascii: "\n") {
                emit(handler)
            } else {
                pending.append(byte)
                if pending.count == Self.longestLine { emit(handler) }
            }
        }
    }

    /// Hands out a last line that has no newline, if there is one.
    public mutating func finish(_ handler: (String) -> Void) {
        if !pending.isEmpty { emit(handler) }
    }

    private mutating func emit(_ handler: (String) -> Void) {
        if pending.last == UInt8(ascii: "\r") { pending.removeLast() }
        handler(String(decoding: pending, as: UTF8.self))
        pending.removeAll(keepingCapacity: true)
    }
}
