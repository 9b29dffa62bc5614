import BuildOSKit

/// A path in a stream: relative to the subvolume, and never out of it by its own letters. Links on its way are for
/// ``ReceivedTree`` to refuse.
struct StreamPath: Hashable, CustomStringConvertible {
    /// The path's bytes without a zero; empty for the subvolume itself.
    let bytes: [UInt8]
    /// Where the last component begins.
    private let leafStart: Int

    /// Parses a path.
    ///
    /// - Throws: ``StreamDefect`` if it is absolute, has an empty component, `.` or `..`, or is longer than the system's
    ///   paths and names may be (limits.h).
    init(_ raw: UnsafeRawBufferPointer) throws(StreamDefect) {
        guard raw.count < 4096, !raw.contains(0) else { throw StreamDefect("a path has \(raw.count) bytes or a zero") }
        bytes = Array(raw)
        var start = 0
        var position = 0
        while !bytes.isEmpty, position <= bytes.count {
            if position == bytes.count || bytes[position] == UInt8(ascii: "/") {
                guard Self.isName(bytes[start..<position]) else {
                    throw StreamDefect("the path '\(Self.shown(bytes))' could lead out of the subvolume")
                }
                if position < bytes.count { start = position + 1 }
            }
            position += 1
        }
        leafStart = start
    }

    /// Whether bytes are one component of a path, and not the directory itself or the one above.
    static func isName(_ bytes: ArraySlice<UInt8>) -> Bool {
        (1...255).contains(bytes.count) && !bytes.contains(UInt8(ascii: "/")) && !bytes.contains(0)
            && !bytes.elementsEqual(".".utf8) && !bytes.elementsEqual("..".utf8)
    }

    /// Whether it is the subvolume itself.
    var isRoot: Bool { bytes.isEmpty }
    /// The path of the directory it is in, with a zero at its end for C; empty for the subvolume.
    var parent: [CChar] { Self.zeroTerminated(bytes.prefix(max(0, leafStart - 1))) }
    /// The last component, with a zero at its end for C.
    var leaf: [CChar] { Self.zeroTerminated(bytes[leafStart...]) }
    /// The whole path, with a zero at its end for C.
    var whole: [CChar] { Self.zeroTerminated(bytes[...]) }

    var description: String { Self.shown(bytes) }

    static func zeroTerminated(_ bytes: ArraySlice<UInt8>) -> [CChar] { bytes.map { CChar(bitPattern: $0) } + [0] }

    /// For a message: no control characters, not without end.
    static func shown(_ bytes: [UInt8]) -> String {
        String(decoding: bytes.prefix(200).map { (0x20..<0x7f).contains($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
    }
}
