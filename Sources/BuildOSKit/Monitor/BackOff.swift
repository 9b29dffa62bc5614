/// How long to wait before a failed step is tried again: doubling from one try to the next, bounded, with a
/// random part so that the hosts of a farm don't ask a recovering server in the same second.
public struct BackOff: Sendable, Hashable {
    /// The wait after the first failure.
    public var first: Duration
    /// No wait is longer than this, the random part included.
    public var limit: Duration

    /// Creates a policy; the defaults are half a minute and an hour.
    public init(first: Duration = .seconds(30), limit: Duration = .seconds(3600)) {
        self.first = first
        self.limit = limit
    }

    /// The wait after a number of failures in a row: between three quarters of the doubled time and all of it.
    ///
    /// - Parameter failures: at least 1; less counts as 1.
    func delay(afterFailures failures: Int, using generator: inout SeededGenerator) -> Duration {
        var full = min(first, limit)
        for _ in 1..<max(2, failures) where failures > 1 && full < limit { full = min(full * 2, limit) }
        return full * 3 / 4 + generator.duration(upTo: full / 4)
    }
}
