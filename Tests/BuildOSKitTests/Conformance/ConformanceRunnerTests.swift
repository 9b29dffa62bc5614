import BuildOSConformance
import BuildOSKit
import Synchronization
import TestSupport
import Testing

@Suite("BACK-3: running conformance suites") struct ConformanceRunnerTests {
    /// A fake: real suites are for real backends, and none of those hangs when asked to.
    private struct Suite: ConformanceSuite {
        static var interface: BackendInterface { .fetcher }
        let checks: [ConformanceCheck]
    }

    private let backend = BackendIdentity(name: "fake", interface: .fetcher, summary: "")

    @Test("each check has its result, in order, and is told as it comes")
    func outcomes() async throws {
        let suite = Suite(checks: [
            ConformanceCheck("passes") {},
            ConformanceCheck("fails") { throw ConformanceFailure("found otherwise") },
            ConformanceCheck("throws") { throw Errno.noSuchFileOrDirectory },
            ConformanceCheck("lacks") { throw ConformanceSkip("no volume") },
            ConformanceCheck("lacks the same") { throw ConformanceSkip("no volume") },
            ConformanceCheck("isn't offered") { throw ConformanceSkip(notOffered: "posts") },
        ])
        let observed = Mutex<[String]>([])
        let report = try await ConformanceRunner().run(
            suite,
            of: backend,
            observe: { result in observed.withLock { $0.append(result.check) } }
        )
        #expect(observed.withLock { $0 } == suite.checks.map(\.name))
        #expect(
            report.results.map(\.outcome) == [
                .passed, .failed(found: "found otherwise"), .failed(found: "\(Errno.noSuchFileOrDirectory)"),
                .skipped(ConformanceSkip("no volume")), .skipped(ConformanceSkip("no volume")),
                .skipped(ConformanceSkip(notOffered: "posts")),
            ]
        )
        #expect((report.passedCount, report.failures.count, report.skippedCount) == (1, 2, 3))
        #expect(report.environmentSkips.map(\.description) == ["no volume"])
        let part = try await ConformanceRunner().run(suite, of: backend, where: { $0.name == "passes" })
        #expect(part.results.map(\.check) == ["passes"])
    }

    @Test("a check past its limit is cancelled, and told")
    func limit() async throws {
        let clock = TestClock()
        let (never, end) = AsyncStream<Void>.makeStream()
        defer { end.finish() }
        let check = ConformanceCheck("waits", timeLimit: .seconds(5)) { for await _ in never {} }
        async let result = ConformanceRunner(clock: clock).run(check)
        await clock.advanceToNextSleeper()
        #expect(await result.outcome == .timedOut(limit: .seconds(5), runsOn: false))
    }

    @Test("a check that heeds no cancellation is left behind, and the next one runs")
    func deaf() async throws {
        let clock = TestClock()
        let (never, end) = AsyncStream<Void>.makeStream()
        defer { end.finish() }
        let suite = Suite(checks: [
            ConformanceCheck("hangs") { await Task.detached { for await _ in never {} }.value },
            ConformanceCheck("passes") {},
        ])
        async let report = ConformanceRunner(timeLimit: .seconds(7), grace: .seconds(1), clock: clock)
            .run(suite, of: backend)
        await clock.advanceToNextSleeper()
        await clock.advanceToNextSleeper()
        #expect(
            try await report.results.map(\.outcome) == [.timedOut(limit: .seconds(7), runsOn: true), .passed]
        )
    }

    @Test("cancelling the run cancels the check, and no other is begun")
    func cancelled() async throws {
        let (never, end) = AsyncStream<Void>.makeStream()
        defer { end.finish() }
        let (starts, started) = AsyncStream<Void>.makeStream()
        let suite = Suite(checks: [
            ConformanceCheck("waits") {
                started.finish()
                for await _ in never {}
            },
            ConformanceCheck("isn't begun") { Issue.record("it was begun") },
        ])
        let run = Task { try await ConformanceRunner().run(suite, of: backend) }
        for await _ in starts {}
        run.cancel()
        await #expect(throws: CancellationError.self) { try await run.value }
    }

    /// A fake: a provider whose preflight and making say what a test wants.
    private struct Provider: FetcherProvider {
        let identity = BackendIdentity(name: "fake", interface: .fetcher, summary: "")
        let capabilities = FetcherCapabilities(schemes: [], digests: [], conditional: false)
        var findings: [PreflightFinding] = []
        func preflight() async -> [PreflightFinding] { findings }
        func makeFetcher(_ options: FetcherOptions) throws -> any Fetcher {
            throw UnsupportedOperation("fetch", backend: "fake")
        }
    }

    @Test("a backend that isn't ready is passed over, with what it misses; one that is, and makes nothing, fails")
    func making() async throws {
        let finding = PreflightFinding(problem: "no library", remedy: "install it")
        let lame = try await ConformanceRunner().run(Provider(findings: [finding]), in: ConformanceEnvironment())
        #expect(lame.skip == ConformanceSkip("no library (install it)"))
        #expect(lame.results.isEmpty)
        let broken = try await ConformanceRunner().run(Provider(), in: ConformanceEnvironment())
        #expect(broken.skip == nil)
        #expect(broken.failures.map(\.outcome) == [.failed(found: "\(UnsupportedOperation("fetch", backend: "fake"))")])
    }
}
