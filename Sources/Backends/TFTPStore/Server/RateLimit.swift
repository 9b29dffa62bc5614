import Synchronization

/// How much of a client's bytes per second is used up: a bucket that may go below empty, so that what is sent at once is
/// waited for afterwards.
struct TokenBucket: Sendable {
    private let perSecond: Double
    /// Bytes that may be sent now; what isn't used in a quarter of a second is lost.
    private var available: Double
    private var updated: Duration

    init(bytesPerSecond: Int, now: Duration) {
        perSecond = Double(max(1, bytesPerSecond))
        available = perSecond / 4
        updated = now
    }

    /// Takes bytes out, and says how long to wait before they are sent.
    mutating func take(_ bytes: Int, now: Duration) -> Duration {
        refill(now)
        let wait = available >= 0 ? .zero : Duration.seconds(-available / perSecond)
        available -= Double(bytes)
        return wait
    }

    /// Whether it has been unused for so long that a new one would be the same.
    func isFull(now: Duration) -> Bool {
        var later = self
        later.refill(now)
        return later.available >= perSecond / 4
    }

    private mutating func refill(_ now: Duration) {
        available = min(perSecond / 4, available + (now - updated) / .seconds(1) * perSecond)
        updated = now
    }
}

/// The buckets of all clients of a server.
final class RateLimit: Sendable {
    private let bytesPerSecond: Int
    private let buckets = Mutex<[String: TokenBucket]>([:])

    init(bytesPerSecond: Int) { self.bytesPerSecond = bytesPerSecond }

    /// How long to wait before sending so many bytes to a client.
    func take(_ bytes: Int, for client: String, now: Duration) -> Duration {
        buckets.withLock { buckets in
            buckets[client, default: TokenBucket(bytesPerSecond: bytesPerSecond, now: now)].take(bytes, now: now)
        }
    }

    /// Forgets clients that are long gone.
    func prune(now: Duration) {
        buckets.withLock { buckets in
            buckets = buckets.filter { !$0.value.isFull(now: now) }
        }
    }
}
