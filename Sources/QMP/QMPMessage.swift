/// The first line of a server: who it is (QMP specification, 2.2).
public struct QMPGreeting: Sendable, Hashable {
    /// QEMU's version: `7.2.22`.
    public let version: String
    /// The distribution's name for it; may be empty.
    public let package: String
    /// What the server can do beyond the basics: `oob`.
    public let capabilities: [String]
}

/// Something that happened (QMP specification, 2.5).
public struct QMPEvent: Sendable, Hashable {
    /// Its name: `SHUTDOWN`.
    public let name: String
    /// What belongs to it; an empty object if nothing does.
    public let data: JSONValue
    /// Seconds since 1970 by the server's clock; `nil` if it had none.
    public let timestamp: Double?
}

/// A line of a server, parsed.
enum QMPMessage: Sendable, Hashable {
    case greeting(QMPGreeting)
    case success(id: JSONValue?, JSONValue)
    case failure(id: JSONValue?, errorClass: String, description: String)
    case event(QMPEvent)

    /// Parses a line without its end.
    init(parsing line: some Sequence<UInt8>) throws(QMPError) {
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONValue(parsing: line)
        } catch {
            throw .malformed("a line is not JSON: \(error)")
        }
        if let greeting = value["QMP"] {
            self = .greeting(try Self.greeting(greeting))
        } else if let result = value["return"] {
            self = .success(id: value["id"], result)
        } else if let error = value["error"] {
            guard let errorClass = error["class"]?.string, let description = error["desc"]?.string else {
                throw .malformed("an error without class or description")
            }
            self = .failure(id: value["id"], errorClass: errorClass, description: description)
        } else if let name = value["event"]?.string {
            self = .event(
                QMPEvent(name: name, data: value["data"] ?? .object([:]), timestamp: Self.time(value["timestamp"]))
            )
        } else {
            throw .malformed("a line that is neither greeting, reply nor event")
        }
    }

    private static func greeting(_ value: JSONValue) throws(QMPError) -> QMPGreeting {
        guard let version = value["version"], let major = version["qemu"]?["major"]?.integer,
            let minor = version["qemu"]?["minor"]?.integer, let micro = version["qemu"]?["micro"]?.integer
        else { throw .malformed("a greeting without version") }
        return QMPGreeting(
            version: "\(major).\(minor).\(micro)",
            package: version["package"]?.string ?? "",
            capabilities: (value["capabilities"]?.array ?? []).compactMap(\.string)
        )
    }

    private static func time(_ value: JSONValue?) -> Double? {
        guard let seconds = value?["seconds"]?.integer, seconds >= 0,
            let microseconds = value?["microseconds"]?.integer
        else { return nil }
        return Double(seconds) + Double(microseconds) / 1_000_000
    }
}
