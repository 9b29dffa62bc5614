import Synchronization

/// The last lines of a program's output, for the error if it fails.
final class LastLines: Sendable {
    private let count: Int
    private let lines = Mutex<[String]>([])

    init(count: Int) { self.count = count }

    func append(_ line: String) {
        lines.withLock {
            $0.append(line)
            if $0.count > count { $0.removeFirst() }
        }
    }

    var text: String { lines.withLock { $0.joined(separator: "; ") } }
}
