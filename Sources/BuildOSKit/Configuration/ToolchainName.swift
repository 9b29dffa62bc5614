/// The name of a toolchain: letters, digits and `_`, at most 32, not a number (CONF-3).
///
/// It becomes a component of paths, unit names and machine names. A `-` separates it there; a number would be
/// taken for the protocol version in `<machine>-<P>`.
public struct ToolchainName: Sendable, Hashable, Comparable, Codable, CustomStringConvertible {
    /// The name that parameters without one mean.
    public static let `default` = ToolchainName(checked: "default")

    /// The name.
    public let text: String

    /// Parses a name.
    ///
    /// - Throws: ``InvalidValue`` that says what is wrong.
    public init(_ text: String) throws(InvalidValue) {
        guard !text.isEmpty else { throw InvalidValue("the toolchain's name is empty") }
        guard !text.contains("-") else { throw InvalidValue("the toolchain's name holds a '-'") }
        guard text.utf8.allSatisfy({ $0.isASCIILetterOrDigit || $0 == UInt8(ascii: "_") }) else {
            throw InvalidValue("the toolchain's name holds something else than letters, digits and '_'")
        }
        guard text.utf8.count <= 32 else { throw InvalidValue("the toolchain's name is longer than 32 characters") }
        guard !text.utf8.allSatisfy({ $0.isASCIIDigit }) else {
            throw InvalidValue("the toolchain's name is a number, which would be taken for a protocol version")
        }
        self.text = text
    }

    private init(checked text: String) { self.text = text }

    /// What the names look like, for messages.
    public static let accepted = "a toolchain's name is letters, digits and '_', and not a number"

    public var description: String { text }

    public static func < (left: ToolchainName, right: ToolchainName) -> Bool { left.text < right.text }

    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        try self.init(text)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}

extension UInt8 {
    var isASCIIDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }
    var isASCIILetterOrDigit: Bool {
        isASCIIDigit || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self)
            || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self)
    }
}
