/// The identity of a subvolume: 16 bytes (RFC 9562).
public struct VolumeUUID: Sendable, Hashable, CustomStringConvertible {
    /// Its 16 bytes.
    public let bytes: [UInt8]

    /// A new one: random (version 4).
    public static func random() -> VolumeUUID {
        var bytes = (0..<16).map { _ in UInt8.random(in: .min ... .max) }
        bytes[6] = bytes[6] & 0x0f | 0x40
        bytes[8] = bytes[8] & 0x3f | 0x80
        return VolumeUUID(bytes: bytes)
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    /// `nil` unless these are 16 bytes.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == 16 else { return nil }
        self.bytes = bytes
    }

    /// Parses what ``description`` gives.
    public init?(_ text: some StringProtocol) {
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

    /// As RFC 9562 writes it.
    public var description: String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for (index, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(index) { text.append(UInt8(ascii: "-")) }
            text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
        return String(decoding: text, as: UTF8.self)
    }
}
