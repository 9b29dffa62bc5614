import BuildOSConformance
import BuildOSKit
import CurlFetcher
import Testing

@Suite("BACK-3: Fetcher") struct FetcherConformance {
    @Test("curl, linked", arguments: try FetcherSuite(CurlFetcher()).checks)
    func linked(check: ConformanceCheck) async throws { try await check.body() }

    @Test("curl, loaded", arguments: try FetcherSuite(CurlFetcher()).checks.indices)
    func loaded(index: Int) async throws {
        let fetcher = try LoadedModules.inventory.registry.fetcher(named: "curl").makeFetcher()
        try await FetcherSuite(fetcher).checks[index].body()
    }
}
