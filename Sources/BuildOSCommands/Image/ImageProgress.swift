import BuildOSKit
import Glibc
import Synchronization

/// Shows the steps of an image build with the time since the start, the time of each step, and sizes.
final class ImageProgress: Sendable {
    private let start = ContinuousClock.now
    private let stepStart = Mutex(ContinuousClock.now)

    func show(_ event: ImageBuilder.Event) {
        let now = ContinuousClock.now
        let words =
            switch event {
            case .began(let step):
                stepStart.withLock {
                    $0 = now
                    return step
                }
            case .note(let note): "  \(note)"
            case .finished(let step, let bytes):
                "\(step): \(Self.seconds(now - stepStart.withLock { $0 })) s"
                    + (bytes.map { ", \(Self.mebibytes($0)) MiB" } ?? "")
            }
        print("[\(Self.padded(Self.seconds(now - start)))] \(words)")
        fflush(nil)
    }

    /// With one decimal.
    static func seconds(_ duration: Duration) -> String {
        let tenths = duration.components.seconds * 10 + duration.components.attoseconds / 100_000_000_000_000_000
        return "\(tenths / 10).\(tenths % 10)"
    }

    /// With one decimal.
    static func mebibytes(_ bytes: Int64) -> String {
        let tenths = (bytes * 10 + (1 << 19)) >> 20
        return "\(tenths / 10).\(tenths % 10)"
    }

    private static func padded(_ text: String) -> String {
        String(repeating: " ", count: max(0, 6 - text.count)) + text
    }
}
