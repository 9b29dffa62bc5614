import BuildOSConformance
import BuildOSKit

/// Shows checks as they end, and what came of them; on standard error alone where standard output is for JSON.
struct ConformanceListing: Sendable {
    private let output: FileDescriptor

    init(isQuiet: Bool) { output = isQuiet ? .standardError : .standardOutput }

    func begin(_ backend: BackendIdentity) { write(["\(backend.label): \(backend.summary)"]) }

    func show(_ result: ConformanceResult) { write(Self.lines(result)) }

    func conclude(_ report: ConformanceReport) { write(Self.lines(report)) }

    static func lines(_ result: ConformanceResult) -> [String] {
        let time = seconds(result.duration)
        return switch result.outcome {
        case .passed: ["  passed   \(result.check) (\(time))"]
        case .failed, .timedOut:
            [
                "  FAILED   \(result.check) (\(time))", "    expected  \(result.check)",
                "    found     \(result.outcome.explanation ?? "")",
            ]
        case .skipped(let skip): ["  skipped  \(result.check)", "    because   \(skip)"]
        }
    }

    static func lines(_ report: ConformanceReport) -> [String] {
        if let skip = report.skip { return ["  skipped  everything", "    because   \(skip)"] }
        let time = seconds(report.results.reduce(.zero) { $0 + $1.duration })
        let counts =
            "\(report.passedCount) passed, \(report.failures.count) failed, \(report.skippedCount) skipped"
        return ["\(report.backend.label): \(counts), in \(time)"]
    }

    private func write(_ lines: [String]) {
        _ = try? output.writeAll(lines.map { "\($0)\n" }.joined().utf8)
    }

    /// With two decimals.
    private static func seconds(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        let hundredths = seconds * 100 + attoseconds / 10_000_000_000_000_000
        return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100) s"
    }
}

/// A report as `--format json` prints it.
struct ConformanceRecord: Codable {
    struct Check: Codable {
        /// `passed`, `failed`, `timed-out`, `skipped`
        let outcome: String
        let check: String
        /// What was found, or why the check was skipped.
        let explanation: String?
        let skip: ConformanceSkip.Kind?
        let seconds: Double
    }

    let backend: BackendIdentity
    let passed: Int
    let failed: Int
    let skipped: Int
    /// Why nothing was checked.
    let skip: ConformanceSkip?
    let checks: [Check]

    init(_ report: ConformanceReport) {
        backend = report.backend
        passed = report.passedCount
        failed = report.failures.count
        skipped = report.skippedCount
        skip = report.skip
        checks = report.results.map { result in
            let (outcome, skip): (String, ConformanceSkip.Kind?) =
                switch result.outcome {
                case .passed: ("passed", nil)
                case .failed: ("failed", nil)
                case .timedOut: ("timed-out", nil)
                case .skipped(let skip): ("skipped", skip.kind)
                }
            return Check(
                outcome: outcome,
                check: result.check,
                explanation: result.outcome.explanation,
                skip: skip,
                seconds: result.duration / .seconds(1)
            )
        }
    }
}
