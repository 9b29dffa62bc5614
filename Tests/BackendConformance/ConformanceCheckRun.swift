import BuildOSConformance
import TestSupport
import Testing

extension ConformanceCheck: CustomTestStringConvertible {
    public var testDescription: String { name }

    /// Runs it by the runner, for its time limits: one that hangs is a failure with a name. What a backend doesn't offer
    /// is none, unless it has to offer all.
    func run(offersAll: Bool = false, sourceLocation: SourceLocation = #_sourceLocation) async {
        let result = await ConformanceRunner().run(self)
        let outcome = result.outcome.explanation.map { ": \($0)" } ?? ""
        print("\(result.duration) \(name)\(outcome)")
        switch result.outcome {
        case .passed: break
        case .skipped(let skip) where skip.kind == .notOffered && !offersAll: break
        case .skipped(let skip): _ = Requirements.isMet(false, "\(name): \(skip)", sourceLocation: sourceLocation)
        case .failed, .timedOut: Issue.record("\(name)\(outcome)", sourceLocation: sourceLocation)
        }
    }
}
