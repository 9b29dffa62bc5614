/// Cuts what comes from a server into lines, of bounded length.
struct LineReader {
    /// Bytes of a line that are kept: QEMU's longest, the description of its own protocol, is a fifth of that.
    static let longestLine = 1 << 20

    private var pending: [UInt8] = []

    /// Takes bytes and hands on the lines that end in them, without their ends and without empty ones.
    ///
    /// - Throws: ``QMPError/malformed(_:)`` for a line that is too long; what the closure throws.
    mutating func feed(
        _ bytes: some Collection<UInt8>,
        _ handler: ([UInt8]) throws(QMPError) -> Void
    ) throws(QMPError) {
        var rest = bytes[...]
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            pending.append(contentsOf: rest[..<end])
            rest = rest[rest.index(after: end)...]
            if pending.last == UInt8(ascii: "\r") { pending.removeLast() }
            let line = pending
            pending.removeAll(keepingCapacity: true)
            guard line.count <= Self.longestLine else { throw .malformed("a line is too long") }
            if !line.isEmpty { try handler(line) }
        }
        pending.append(contentsOf: rest)
        guard pending.count <= Self.longestLine else { throw .malformed("a line is too long") }
    }
}
