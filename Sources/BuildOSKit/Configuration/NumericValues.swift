/// By how much CPUs are shared out more than once: `3/2`, or `2` for `2/1`.
public struct OvercommitRatio: Sendable, Hashable, CustomStringConvertible {
    /// The ratio if nothing is given.
    public static let one = OvercommitRatio(numerator: 1, denominator: 1)

    /// From 1 to 1000.
    public let numerator: Int
    /// From 1 to 1000.
    public let denominator: Int

    private init(numerator: Int, denominator: Int) {
        self.numerator = numerator
        self.denominator = denominator
    }

    /// Parses a ratio.
    ///
    /// - Throws: ``InvalidValue``
    public init(_ text: String) throws(InvalidValue) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count) else { throw InvalidValue("it is not a ratio") }
        var numbers: [Int] = []
        for part in parts { numbers.append(try DecimalNumber.parse(String(part), 1...1000)) }
        numerator = numbers[0]
        denominator = numbers.count == 2 ? numbers[1] : 1
    }

    public var description: String { denominator == 1 ? "\(numerator)" : "\(numerator)/\(denominator)" }
}

/// An amount of RAM, kept in KiB as the agent takes it.
public struct MemorySize: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// KiB.
    public let kibibytes: Int

    /// Creates an amount of KiB.
    public init(kibibytes: Int) { self.kibibytes = kibibytes }

    /// Creates an amount of GiB.
    public init(gibibytes: Int) { kibibytes = gibibytes << 20 }

    /// Parses GiB with up to three decimal places, up to a million.
    ///
    /// - Throws: ``InvalidValue``
    public init(gibibytes text: String) throws(InvalidValue) {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let whole = try DecimalNumber.parse(parts.first.map(String.init) ?? "", 0...1_000_000)
        var thousandths = 0
        if parts.count == 2 {
            guard (1...3).contains(parts[1].utf8.count) else {
                throw InvalidValue("'\(parts[1].prefix(20))' is not one to three decimal places")
            }
            let digits = parts[1] + String(repeating: "0", count: 3 - parts[1].utf8.count)
            thousandths = try DecimalNumber.parse(String(digits), 0...999)
        }
        kibibytes = whole << 20 + (thousandths << 20) / 1000
    }

    /// The amount in whole MiB, rounded down.
    public var mebibytes: Int { kibibytes >> 10 }

    /// GiB with at most two decimal places, rounded down, or MiB below one GiB.
    public var description: String {
        if kibibytes < 0 { return "-" + MemorySize(kibibytes: -kibibytes).description }
        if kibibytes == 0 { return "0 GiB" }
        if kibibytes < 1 << 20 { return "\(mebibytes) MiB" }
        let hundredths = kibibytes % (1 << 20) * 100 / (1 << 20)
        let fraction =
            switch (hundredths, hundredths % 10) {
            case (0, _): ""
            case (_, 0): ".\(hundredths / 10)"
            case (..<10, _): ".0\(hundredths)"
            default: ".\(hundredths)"
            }
        return "\(kibibytes >> 20)\(fraction) GiB"
    }

    public static func < (left: MemorySize, right: MemorySize) -> Bool { left.kibibytes < right.kibibytes }
    /// The sum.
    public static func + (left: MemorySize, right: MemorySize) -> MemorySize {
        MemorySize(kibibytes: left.kibibytes + right.kibibytes)
    }
    /// The difference, which may be negative.
    public static func - (left: MemorySize, right: MemorySize) -> MemorySize {
        MemorySize(kibibytes: left.kibibytes - right.kibibytes)
    }
}

/// Whole decimal numbers, without signs other than `-` and without blanks.
enum DecimalNumber {
    static func parse(_ text: String, _ range: ClosedRange<Int>) throws(InvalidValue) -> Int {
        guard !text.isEmpty else { throw InvalidValue("a number is missing") }
        let digits = text.hasPrefix("-") ? text.dropFirst() : Substring(text)
        guard !digits.isEmpty, digits.utf8.allSatisfy({ $0.isASCIIDigit }) else {
            throw InvalidValue("'\(text.prefix(40))' is not a whole number")
        }
        guard let number = Int(text), range.contains(number) else {
            throw InvalidValue("\(text.prefix(40)) is not from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }
}

/// The bridges of a build host (NET-3).
public enum Bridge: String, Sendable, Hashable, CaseIterable, Codable, CustomStringConvertible {
    /// Holds the Ethernet interface.
    case br0
    /// Private, behind NAT.
    case br1

    public var description: String { rawValue }
}

/// How a host reboots.
public enum RebootMethod: String, Sendable, Hashable, CaseIterable, Codable, CustomStringConvertible {
    /// Through firmware and network boot.
    case firmware
    /// Straight into the new kernel (BOOT-12).
    case kexec

    public var description: String { rawValue }
}
