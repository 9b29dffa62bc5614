/// An IPv4 address.
public struct IPv4Address: Sendable, Hashable, CustomStringConvertible {
    /// The address as a number.
    public let number: UInt32

    /// Creates an address.
    public init(number: UInt32) { self.number = number }

    /// Parses four decimal numbers joined by dots.
    ///
    /// - Throws: ``InvalidValue``
    public init(_ text: String) throws(InvalidValue) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { throw InvalidValue("it is not an IPv4 address") }
        var number: UInt32 = 0
        for part in parts {
            let byte = try DecimalNumber.parse(String(part), 0...255)
            number = number << 8 | UInt32(byte)
        }
        self.number = number
    }

    public var description: String {
        stride(from: UInt32(24), through: 0, by: -8).map { String(number >> $0 & 255) }.joined(separator: ".")
    }
}

/// An IPv4 network.
public struct IPv4Network: Sendable, Hashable, CustomStringConvertible {
    /// The lowest address.
    public let base: IPv4Address
    /// How many bits are common to all addresses.
    public let prefixLength: Int

    /// Creates the network that an address is in.
    public init(_ address: IPv4Address, prefixLength: Int) {
        self.prefixLength = min(32, max(0, prefixLength))
        base = IPv4Address(number: address.number & Self.mask(self.prefixLength))
    }

    /// The mask of the network.
    public var mask: IPv4Address { IPv4Address(number: Self.mask(prefixLength)) }

    /// The address at an offset from the lowest.
    public func address(_ offset: UInt32) -> IPv4Address { IPv4Address(number: base.number | offset) }

    /// The highest address.
    public var broadcast: IPv4Address { IPv4Address(number: base.number | ~Self.mask(prefixLength)) }

    /// Whether there is an address in both.
    public func overlaps(_ other: IPv4Network) -> Bool {
        let common = Self.mask(min(prefixLength, other.prefixLength))
        return base.number & common == other.base.number & common
    }

    public var description: String { "\(base)/\(prefixLength)" }

    private static func mask(_ length: Int) -> UInt32 { length == 0 ? 0 : ~UInt32(0) << UInt32(32 - length) }
}

extension DHCPLease {
    /// The network that the leased address is in, if the server's words make sense.
    public var network: IPv4Network? {
        guard let address = try? IPv4Address(address) else { return nil }
        guard let mask, let bits = try? IPv4Address(mask) else { return IPv4Network(address, prefixLength: 24) }
        let length = bits.number.nonzeroBitCount
        guard bits.number == IPv4Network(address, prefixLength: length).mask.number else { return nil }
        return IPv4Network(address, prefixLength: length)
    }
}
