/// An image of a machine: its name and revision, `<name>-<P>.<R>` as a file name (MACH-1).
public struct MachineImage: Sendable, Hashable, Comparable, Codable, CustomStringConvertible {
    /// The machine.
    public let machine: MachineName
    /// The revision.
    public let revision: MachineRevision

    /// Creates a name of an image.
    public init(_ machine: MachineName, _ revision: MachineRevision) {
        self.machine = machine
        self.revision = revision
    }

    /// Parses `<name>-<P>.<R>`.
    ///
    /// - Throws: ``MachineError`` of kind `invalid`.
    public init(_ text: String) throws(MachineError) {
        func fail(_ cause: String) -> MachineError {
            MachineError(
                .invalid,
                "image '\(printable(text))'",
                cause: cause,
                remedy: "name it <machine>-<protocol>.<revision>, such as linux-gcc_6-1.0"
            )
        }
        guard let dash = text.lastIndex(of: "-") else { throw fail("its name has no '-' before a revision") }
        guard let revision = MachineRevision(text[text.index(after: dash)...]) else {
            throw fail("its name does not end with a revision")
        }
        do throws(InvalidValue) {
            self.init(try MachineName(String(text[..<dash])), revision)
        } catch {
            throw fail(error.cause)
        }
    }

    public var description: String { "\(machine)-\(revision)" }

    public static func < (left: MachineImage, right: MachineImage) -> Bool {
        (left.machine, left.revision) < (right.machine, right.revision)
    }

    public init(from decoder: any Decoder) throws {
        try self.init(decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension MachineRevision: Codable {
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let revision = MachineRevision(text) else {
            throw MachineError(.invalid, "revision '\(printable(text))'", cause: "it is not <protocol>.<revision>")
        }
        self = revision
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// The name of a volume of machines: a directory's under ``MachineLayout/root`` (STOR-2).
public struct VolumeName: Sendable, Hashable, Codable, CustomStringConvertible {
    /// The volume of hosts with one.
    public static let `default` = VolumeName(checked: "default")

    /// The name.
    public let text: String

    /// Parses a name.
    ///
    /// - Throws: ``MachineError`` of kind `invalid`, unless it is what a machine's name may be.
    public init(_ text: String) throws(MachineError) {
        guard (try? MachineName(text)) != nil else {
            throw MachineError(
                .invalid,
                "volume '\(printable(text))'",
                cause: "it is not a volume's name",
                remedy: "give the name of a directory in /build/machines, such as default"
            )
        }
        self.text = text
    }

    private init(checked text: String) { self.text = text }

    public var description: String { text }

    public init(from decoder: any Decoder) throws {
        try self.init(decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}
