import BuildOSConformance
import BuildOSKit
import CurlFetcher
import LocalTransport
import Testing

@Suite("BACK-3: Fetcher") struct FetcherConformance {
    static func checks(_ provider: any FetcherProvider) throws -> [ConformanceCheck] {
        try FetcherSuite(provider, transport: LocalTransport()).checks
    }

    @Test("curl, linked", arguments: try FetcherConformance.checks(CurlFetcherProvider()))
    func linked(check: ConformanceCheck) async { await check.run() }

    @Test("curl, loaded", arguments: try FetcherConformance.checks(CurlFetcherProvider()).indices)
    func loaded(index: Int) async throws {
        let provider = try LoadedModules.inventory.registry.fetcher(named: "curl")
        try await Self.checks(provider)[index].run()
    }

    @Test("BACK-3: the suite catches broken fetchers", arguments: try BrokenFetcher.all())
    func broken(fetcher: BrokenFetcher) async throws {
        let checks = try Self.checks(fetcher.provider).filter { $0.name.contains(fetcher.caughtBy) }
        #expect(checks.count == 1, "no check, or several, of that name")
        for check in checks {
            await #expect(throws: (any Error).self, "it was not caught") { try await check.body() }
        }
    }
}
