import BuildOSKit

/// Runs suites, one check after the other, each with a time limit, and says what came of each.
public struct ConformanceRunner: Sendable {
    /// Whether the check that asks is run by a runner, which tells what was skipped from what passed.
    @TaskLocal static var isReporting = false

    private let timeLimit: Duration
    private let grace: Duration
    private let clock: any Clock<Duration>

    /// Creates a runner.
    ///
    /// - Parameters:
    ///   - timeLimit: of a check that names none itself.
    ///   - grace: how long a check that was cancelled at its limit has to end; it is then left running.
    ///   - clock: what measures both.
    public init(
        timeLimit: Duration = .seconds(120),
        grace: Duration = .seconds(10),
        clock: any Clock<Duration> = ContinuousClock()
    ) {
        self.timeLimit = timeLimit
        self.grace = grace
        self.clock = clock
    }

    /// Runs the checks of a suite.
    ///
    /// - Parameters:
    ///   - backend: whose implementation it is, for the report.
    ///   - observe: called with every result as it comes.
    ///   - isWanted: whether a check is run; one that isn't is not in the report either.
    /// - Throws: `CancellationError` if the task is cancelled; the check that ran then was cancelled too.
    public func run(
        _ suite: any ConformanceSuite,
        of backend: BackendIdentity,
        observe: @Sendable (ConformanceResult) -> Void = { _ in },
        where isWanted: @Sendable (ConformanceCheck) -> Bool = { _ in true }
    ) async throws -> ConformanceReport {
        var report = ConformanceReport(backend: backend)
        for check in suite.checks where isWanted(check) {
            let result = await run(check)
            try Task.checkCancellation()
            report.results.append(result)
            observe(result)
        }
        return report
    }

    /// Runs one check.
    public func run(_ check: ConformanceCheck) async -> ConformanceResult {
        var outcome: ConformanceOutcome = .passed
        let duration = await ContinuousClock().measure { outcome = await self.outcome(of: check) }
        return ConformanceResult(check: check.name, outcome: outcome, duration: duration)
    }

    /// The body runs in a task that nobody waits for at the end: one that hangs must not hang the runner.
    private func outcome(of check: ConformanceCheck) async -> ConformanceOutcome {
        let limit = check.timeLimit ?? timeLimit
        let body = Task { try await Self.$isReporting.withValue(true, operation: check.body) }
        return await withTaskCancellationHandler {
            if let ended = await first(of: body, or: limit) { return ended }
            body.cancel()
            return .timedOut(limit: limit, runsOn: await first(of: body, or: grace) == nil)
        } onCancel: {
            body.cancel()
        }
    }

    /// How a task ended; `nil` if it runs longer than that.
    private func first(of body: Task<Void, any Error>, or limit: Duration) async -> ConformanceOutcome? {
        let (ends, continuation) = AsyncStream<ConformanceOutcome?>.makeStream(bufferingPolicy: .bufferingOldest(1))
        let timer = Task {
            if (try? await clock.sleep(for: limit)) != nil { continuation.yield(nil) }
        }
        Task { continuation.yield(Self.outcome(await body.result)) }
        defer { timer.cancel() }
        // Deaf to cancellation: the cancelled body brings the end, or the clock does.
        return await Task { () -> ConformanceOutcome? in
            for await end in ends { return end }
            return nil
        }.value
    }

    private static func outcome(_ result: Result<Void, any Error>) -> ConformanceOutcome {
        switch result {
        case .success: .passed
        case .failure(let skip as ConformanceSkip): .skipped(skip)
        case .failure(let error): .failed(found: "\(error)")
        }
    }
}
