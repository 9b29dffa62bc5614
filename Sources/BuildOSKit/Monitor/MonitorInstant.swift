/// A point in the life of a monitor, counted from its start on a clock that never jumps.
public struct MonitorInstant: Sendable, Hashable, InstantProtocol, CustomStringConvertible {
    /// Time since the monitor started.
    public let sinceStart: Duration

    /// The instant at which the monitor started.
    public static let start = MonitorInstant(sinceStart: .zero)

    /// Creates an instant.
    public init(sinceStart: Duration) { self.sinceStart = sinceStart }

    public func advanced(by duration: Duration) -> MonitorInstant {
        MonitorInstant(sinceStart: sinceStart + duration)
    }

    public func duration(to other: MonitorInstant) -> Duration { other.sinceStart - sinceStart }

    public static func < (left: MonitorInstant, right: MonitorInstant) -> Bool { left.sinceStart < right.sinceStart }

    public var description: String { "+\(sinceStart)" }
}

/// Random numbers that follow from a seed alone (SplitMix64), so that a machine's course can be replayed.
struct SeededGenerator: RandomNumberGenerator, Sendable, Hashable {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// A time between nothing and `limit`, in milliseconds.
    mutating func duration(upTo limit: Duration) -> Duration {
        let milliseconds = max(0, limit / .milliseconds(1))
        return .milliseconds(Int64.random(in: 0...Int64(milliseconds), using: &self))
    }
}
