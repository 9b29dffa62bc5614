/// The name of a build machine: one component of a path, and the prefix of all that lies in its directory (MACH-1).
public struct MachineName: Sendable, Hashable, Comparable, Codable, CustomStringConvertible {
    /// The name.
    public let text: String

    /// Parses a name.
    ///
    /// - Throws: ``InvalidValue`` unless it is 1 to 128 letters, digits and `.`, `_`, `+`, `-`, the first of them a
    ///   letter or a digit.
    public init(_ text: String) throws(InvalidValue) {
        guard let first = text.utf8.first else { throw InvalidValue("the machine's name is empty") }
        guard first.isASCIILetterOrDigit else {
            throw InvalidValue("the machine's name does not begin with a letter or a digit")
        }
        guard text.utf8.count <= 128 else { throw InvalidValue("the machine's name is longer than 128 characters") }
        let others = Set("._+-".utf8)
        guard text.utf8.allSatisfy({ $0.isASCIILetterOrDigit || others.contains($0) }) else {
            throw InvalidValue("the machine's name holds something else than letters, digits and . _ + -")
        }
        self.text = text
    }

    public var description: String { text }

    public static func < (left: MachineName, right: MachineName) -> Bool { left.text < right.text }

    public init(from decoder: any Decoder) throws {
        try self.init(decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}

/// Version of the protocol by which a machine is bootstrapped, and a revision of its image: `<P>.<R>`.
public struct MachineRevision: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The protocol version.
    public let version: Int
    /// The revision.
    public let revision: Int

    /// Creates a revision.
    public init(version: Int, revision: Int) {
        self.version = version
        self.revision = revision
    }

    /// Parses `<P>.<R>`, both without leading zeros; `nil` for anything else.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let version = Self.number(parts[0]), let revision = Self.number(parts[1]) else {
            return nil
        }
        self.init(version: version, revision: revision)
    }

    static func number(_ text: some StringProtocol) -> Int? {
        guard (1...9).contains(text.utf8.count), text.utf8.allSatisfy(\.isASCIIDigit), text == "0" || text.first != "0"
        else { return nil }
        return Int(text)
    }

    public var description: String { "\(version).\(revision)" }

    public static func < (left: MachineRevision, right: MachineRevision) -> Bool {
        (left.version, left.revision) < (right.version, right.revision)
    }
}

/// What an entry of a machine's directory is, by its name (MACH-1).
public enum MachineEntry: Sendable, Hashable {
    /// `<name>-<P>.<R>`: an image, before any toolchain was put into it.
    case initial(MachineRevision)
    /// `<name>-<P>`: the link to the image in effect.
    case current(version: Int)
    /// `<name>-<T>`: the image with a toolchain.
    case bootstrapped(ToolchainName)
    /// `<name>-<T>-<xxx>`: the snapshot in which a build, or a bootstrap, goes on.
    case temporary(ToolchainName, suffix: String)

    /// The directory inside a machine's directory that holds images as they were received. Each stays untouched there,
    /// as the parent of the next incremental send, beside the snapshot of it that is in use (DESIGN, "Facts").
    public static let receivedDirectory = ".received"

    /// Reads a name; `nil` if it follows none of the patterns, and so is nobody's business here.
    public init?(_ fileName: String, of machine: MachineName) {
        guard fileName.hasPrefix(machine.text + "-") else { return nil }
        let rest = fileName.dropFirst(machine.text.count + 1)
        if let revision = MachineRevision(rest) {
            self = .initial(revision)
        } else if let version = MachineRevision.number(rest) {
            self = .current(version: version)
        } else {
            let parts = rest.split(separator: "-", omittingEmptySubsequences: false)
            guard let first = parts.first, let toolchain = try? ToolchainName(String(first)) else { return nil }
            switch parts.count {
            case 1: self = .bootstrapped(toolchain)
            case 2 where !parts[1].isEmpty && parts[1].utf8.allSatisfy({ $0.isSuffixByte }):
                self = .temporary(toolchain, suffix: String(parts[1]))
            default: return nil
            }
        }
    }

    /// The name of the entry.
    public func fileName(of machine: MachineName) -> String {
        switch self {
        case .initial(let revision): "\(machine)-\(revision)"
        case .current(let version): "\(machine)-\(version)"
        case .bootstrapped(let toolchain): "\(machine)-\(toolchain)"
        case .temporary(let toolchain, let suffix): "\(machine)-\(toolchain)-\(suffix)"
        }
    }
}

extension UInt8 {
    fileprivate var isSuffixByte: Bool {
        isASCIILetterOrDigit || self == UInt8(ascii: "_") || self == UInt8(ascii: ".")
    }
}
