import Glibc
import Synchronization

/// Keeps what is sent to a rate, without bursts that are longer than a tenth of a second.
final class RateLimiter: Sendable {
    private let bytesPerSecond: Int64
    private let due: Mutex<ContinuousClock.Instant>

    /// How much is written at once.
    var pieceSize: Int { max(4096, min(1 << 20, Int(clamping: bytesPerSecond / 10))) }

    /// - Parameter bytesPerSecond: at least 1.
    init(bytesPerSecond: Int64) {
        self.bytesPerSecond = max(1, bytesPerSecond)
        due = Mutex(.now)
    }

    /// When the next piece may be written, if this one is written at a time.
    static func due(
        after due: ContinuousClock.Instant,
        now: ContinuousClock.Instant,
        bytes: Int,
        bytesPerSecond: Int64
    ) -> ContinuousClock.Instant {
        // Whoever was slower than allowed saves nothing up.
        max(due, now).advanced(by: .seconds(1) * (Double(bytes) / Double(bytesPerSecond)))
    }

    /// Blocks until a piece may be written.
    func wait(for bytes: Int) {
        let wait: Duration = due.withLock { due in
            let now = ContinuousClock.now
            defer { due = Self.due(after: due, now: now, bytes: bytes, bytesPerSecond: bytesPerSecond) }
            return now.duration(to: due)
        }
        guard wait > .zero else { return }
        var rest = timespec(
            tv_sec: Int(wait.components.seconds),
            tv_nsec: Int(wait.components.attoseconds / 1_000_000_000)
        )
        while true {
            let time = rest
            if withUnsafePointer(to: time, { nanosleep($0, &rest) }) == 0 || errno != EINTR { return }
        }
    }
}
