import BuildOSKit

/// Passes progress on, ten times a second at most.
struct ProgressReporter {
    private let handler: @Sendable (FetchProgress) -> Void
    private var next = ContinuousClock.now
    private var last: Int64 = 0

    init(_ handler: @escaping @Sendable (FetchProgress) -> Void) { self.handler = handler }

    mutating func report(received: Int64, expected: Int64?) {
        guard received != last else { return }
        let now = ContinuousClock.now
        guard now >= next else { return }
        next = now + .milliseconds(100)
        last = received
        handler(FetchProgress(received: received, expected: expected))
    }

    func finish(received: Int64) {
        handler(FetchProgress(received: received, expected: received))
    }
}
