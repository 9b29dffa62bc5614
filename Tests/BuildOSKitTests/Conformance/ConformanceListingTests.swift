import BuildOSConformance
import BuildOSKit
import Testing

@testable import BuildOSCommands

@Suite("BACK-3: what buildosctl conformance shows") struct ConformanceListingTests {
    private let backend = BackendIdentity(name: "x", interface: .transport, summary: "")

    @Test("a failed check shows what was expected and what was found; a skipped one why")
    func results() {
        func lines(_ outcome: ConformanceOutcome) -> [String] {
            ConformanceListing.lines(
                ConformanceResult(check: "it works", outcome: outcome, duration: .milliseconds(1_056))
            )
        }
        #expect(lines(.passed) == ["  passed   it works (1.05 s)"])
        #expect(
            lines(.failed(found: "it doesn't"))
                == ["  FAILED   it works (1.05 s)", "    expected  it works", "    found     it doesn't"]
        )
        #expect(lines(.timedOut(limit: .seconds(9), runsOn: true)).last?.contains("not end within 9.0 seconds") == true)
        #expect(
            lines(.skipped(ConformanceSkip(notOffered: "posts")))
                == ["  skipped  it works", "    because   the backend does not offer posts"]
        )
    }

    @Test("the summary counts; a suite that can't be run says why")
    func summary() {
        let results = [ConformanceOutcome.passed, .failed(found: ""), .skipped(ConformanceSkip("")), .passed]
            .map { ConformanceResult(check: "c", outcome: $0, duration: .milliseconds(500)) }
        #expect(
            ConformanceListing.lines(ConformanceReport(backend: backend, results: results))
                == ["x (transport): 2 passed, 1 failed, 1 skipped, in 2.00 s"]
        )
        #expect(
            ConformanceListing.lines(ConformanceReport(backend: backend, skip: ConformanceSkip("no host")))
                == ["  skipped  everything", "    because   no host"]
        )
    }
}
