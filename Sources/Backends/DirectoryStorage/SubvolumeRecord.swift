import BuildOSKit

/// What is remembered of a subvolume, beside it in a file of lines `name value`.
struct SubvolumeRecord: Hashable {
    /// An identity, and how often what it names was made writable: the same pair is the same content.
    struct Origin: Hashable {
        var uuid: VolumeUUID
        var generation: UInt64
    }

    private static let firstLine = "buildos-subvolume 1"

    /// The inode of its directory: a directory that was put there later is no subvolume.
    var inode: UInt64
    var own: Origin
    var parent: VolumeUUID?
    /// What it was received from, until it is made writable.
    var received: Origin?
    var isReadOnly = false

    init(inode: UInt64, own: Origin, parent: VolumeUUID? = nil, received: Origin? = nil, isReadOnly: Bool = false) {
        self.inode = inode
        self.own = own
        self.parent = parent
        self.received = received
        self.isReadOnly = isReadOnly
    }

    /// By what others know it: what it was received from, or itself.
    var knownAs: Origin { received ?? own }

    /// Parses a file's text; `nil` if it isn't one of these.
    init?(_ text: String) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.first.map(String.init) == Self.firstLine else { return nil }
        var values: [Substring: Substring] = [:]
        for line in lines.dropFirst() where !line.isEmpty {
            guard let blank = line.firstIndex(of: " ") else { return nil }
            values[line[..<blank]] = line[line.index(after: blank)...]
        }
        guard let inode = values["inode"].flatMap({ UInt64($0) }), let own = values["own"].flatMap(Origin.init) else {
            return nil
        }
        self.init(inode: inode, own: own, isReadOnly: values["read-only"] == "yes")
        if let text = values["parent"] {
            guard let uuid = VolumeUUID(text) else { return nil }
            parent = uuid
        }
        if let text = values["received"] {
            guard let origin = Origin(text) else { return nil }
            received = origin
        }
    }

    /// The file's text.
    var text: String {
        var lines = [Self.firstLine, "inode \(inode)", "own \(own.text)", "read-only \(isReadOnly ? "yes" : "no")"]
        if let parent { lines.append("parent \(parent)") }
        if let received { lines.append("received \(received.text)") }
        return lines.joined(separator: "\n") + "\n"
    }
}

extension SubvolumeRecord.Origin {
    fileprivate init?(_ text: Substring) {
        let parts = text.split(separator: " ")
        guard parts.count == 2, let uuid = VolumeUUID(parts[0]), let generation = UInt64(parts[1]) else { return nil }
        self.init(uuid: uuid, generation: generation)
    }

    fileprivate var text: String { "\(uuid) \(generation)" }
}

/// A random identity (RFC 9562, version 4).
struct VolumeUUID: Hashable, CustomStringConvertible {
    let bytes: [UInt8]

    /// A new one.
    static func random() -> VolumeUUID {
        var bytes = (0..<16).map { _ in UInt8.random(in: .min ... .max) }
        bytes[6] = bytes[6] & 0x0f | 0x40
        bytes[8] = bytes[8] & 0x3f | 0x80
        return VolumeUUID(bytes: bytes)
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    /// `nil` unless these are 16 bytes.
    init?(_ bytes: [UInt8]) {
        guard bytes.count == 16 else { return nil }
        self.bytes = bytes
    }

    /// Parses what ``description`` gives.
    init?(_ text: some StringProtocol) {
        let groups = text.split(separator: "-", omittingEmptySubsequences: false)
        guard groups.map(\.utf8.count) == [8, 4, 4, 4, 12] else { return nil }
        var bytes: [UInt8] = []
        var digits = groups.joined().utf8[...]
        while let high = digits.popFirst(), let low = digits.popFirst() {
            guard let value = UInt8(String(decoding: [high, low], as: UTF8.self), radix: 16) else { return nil }
            bytes.append(value)
        }
        self.init(bytes)
    }

    var description: String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for (index, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(index) { text.append(UInt8(ascii: "-")) }
            text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
        return String(decoding: text, as: UTF8.self)
    }
}
