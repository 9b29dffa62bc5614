/// The name of an entry of a directory: one component of a path, whatever bytes it has.
public struct EntryName: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Its bytes.
    public let bytes: [UInt8]

    /// `nil` unless it is 1 to 255 bytes without `/` and zero, and neither `.` nor `..`.
    public init?(_ bytes: some Collection<UInt8>) {
        guard (1...255).contains(bytes.count), !bytes.contains(UInt8(ascii: "/")), !bytes.contains(0),
            !bytes.elementsEqual(".".utf8), !bytes.elementsEqual("..".utf8)
        else { return nil }
        self.bytes = Array(bytes)
    }

    /// For C, with a zero at the end.
    public var terminated: [CChar] { bytes.map { CChar(bitPattern: $0) } + [0] }

    /// By their bytes.
    public static func < (left: EntryName, right: EntryName) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }

    /// For a message: no control characters.
    public var description: String { EntryPath.shown(bytes) }
}

/// A path of names beneath a subvolume's root.
struct EntryPath: Hashable, CustomStringConvertible {
    /// The names, joined by `/`.
    let bytes: [UInt8]

    /// `nil` unless all that is between slashes is a name, and it is shorter than the system's paths (limits.h).
    init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count < 4096,
            bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).allSatisfy({
                EntryName($0) != nil
            })
        else { return nil }
        self.bytes = Array(bytes)
    }

    /// For C, with a zero at the end.
    var terminated: [CChar] { bytes.map { CChar(bitPattern: $0) } + [0] }

    var description: String { Self.shown(bytes) }

    static func shown(_ bytes: [UInt8]) -> String {
        String(decoding: bytes.prefix(200).map { (0x20..<0x7f).contains($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
    }
}
