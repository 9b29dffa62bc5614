import BuildOSKit

/// How a check ended.
public enum ConformanceOutcome: Sendable, Hashable {
    case passed
    /// The implementation did otherwise; with what was found.
    case failed(found: String)
    /// It did not end in time, and was cancelled.
    case timedOut(limit: Duration, runsOn: Bool)
    /// It can't be told here.
    case skipped(ConformanceSkip)

    /// Whether the implementation does not do what its interface promises.
    public var isFailure: Bool {
        switch self {
        case .failed, .timedOut: true
        case .passed, .skipped: false
        }
    }

    /// What was found, or why nothing was looked for; `nil` if the check passed.
    public var explanation: String? {
        switch self {
        case .passed: nil
        case .failed(let found): found
        case .timedOut(let limit, false): "it did not end within \(limit); it ended when it was cancelled"
        case .timedOut(let limit, true): "it did not end within \(limit), and heeds no cancellation"
        case .skipped(let skip): skip.description
        }
    }
}

/// A check that was run.
public struct ConformanceResult: Sendable, Hashable {
    /// What is expected, as a sentence.
    public let check: String
    /// How it ended.
    public let outcome: ConformanceOutcome
    /// How long it took.
    public let duration: Duration

    /// Creates a result.
    public init(check: String, outcome: ConformanceOutcome, duration: Duration) {
        self.check = check
        self.outcome = outcome
        self.duration = duration
    }
}

/// What came of running a suite.
public struct ConformanceReport: Sendable, Hashable {
    /// The backend's name, and whose promises were checked.
    public let backend: BackendIdentity
    /// Every check in the order of the suite.
    public var results: [ConformanceResult]
    /// Why no check was run, if none could be.
    public var skip: ConformanceSkip?

    /// Creates a report.
    public init(backend: BackendIdentity, results: [ConformanceResult] = [], skip: ConformanceSkip? = nil) {
        self.backend = backend
        self.results = results
        self.skip = skip
    }

    /// The checks that the implementation did not pass.
    public var failures: [ConformanceResult] { results.filter(\.outcome.isFailure) }

    /// What could have been checked in a better environment: each reason once.
    public var environmentSkips: [ConformanceSkip] {
        var seen: Set<ConformanceSkip> = []
        let skips = results.compactMap { if case .skipped(let skip) = $0.outcome { skip } else { nil } }
        return ((skip.map { [$0] } ?? []) + skips).filter { $0.kind == .environment && seen.insert($0).inserted }
    }

    /// How many checks passed.
    public var passedCount: Int { results.count { $0.outcome == .passed } }
    /// How many checks were passed over, for whatever reason.
    public var skippedCount: Int { results.count - passedCount - failures.count }
}
