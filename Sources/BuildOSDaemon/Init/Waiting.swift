import BuildOSKit

/// Waiting for hardware, with a limit.
enum Waiting {
    /// Looks again and again until the closure returns something or the time is up.
    ///
    /// - Parameter interval: time between two looks.
    static func until<Found>(
        _ limit: Duration,
        interval: Duration = .milliseconds(50),
        _ look: () async throws -> Found?
    ) async throws -> Found? {
        let clock = ContinuousClock()
        let end = clock.now + limit
        while true {
            if let found = try await look() { return found }
            guard clock.now < end else { return nil }
            try await Task.sleep(for: interval)
        }
    }

    /// Runs a call that blocks on a thread of its own.
    static func onThread<Result: Sendable>(
        _ name: String,
        _ body: @escaping @Sendable () -> Result
    ) async throws(Errno) -> Result {
        let outcome: Swift.Result<Result, Errno> = await withCheckedContinuation { continuation in
            do throws(Errno) {
                try DedicatedThread.start(name: name) { continuation.resume(returning: .success(body())) }
            } catch {
                continuation.resume(returning: .failure(error))
            }
        }
        return try outcome.get()
    }
}
