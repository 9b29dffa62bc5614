import FoundationEssentials

/// A moment of the calendar, to the second, written as RFC 3339 has it: `2025-11-23T06:00:00Z`.
public struct Timestamp: Sendable, Hashable, Comparable, Codable, CustomStringConvertible {
    /// Seconds since 1970, leap seconds not counted.
    public let seconds: Int64

    /// Creates a timestamp.
    public init(seconds: Int64) { self.seconds = seconds }

    /// Now, by the host's clock.
    public static var now: Timestamp { Timestamp(seconds: Int64(Date.now.timeIntervalSince1970.rounded(.down))) }

    /// A moment a time later, or earlier if the time is negative.
    public func advanced(by duration: Duration) -> Timestamp {
        Timestamp(seconds: seconds + Int64((duration / .seconds(1)).rounded()))
    }

    /// The time from this moment to another.
    public func duration(to other: Timestamp) -> Duration { .seconds(other.seconds - seconds) }

    public var description: String { Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601) }

    public static func < (left: Timestamp, right: Timestamp) -> Bool { left.seconds < right.seconds }

    public init(from decoder: any Decoder) throws {
        let date = try Date(decoder.singleValueContainer().decode(String.self), strategy: .iso8601)
        seconds = Int64(date.timeIntervalSince1970)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
