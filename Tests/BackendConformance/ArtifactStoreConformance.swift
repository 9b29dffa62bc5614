import BuildOSConformance
import BuildOSKit
import TFTPStore
import Testing

@Suite("BACK-3: ArtifactStore") struct ArtifactStoreConformance {
    @Test("TOOL-3: tftp, linked", arguments: ArtifactStoreSuite { try TFTPStore(root: $0) }.checks)
    func linked(check: ConformanceCheck) async { await check.run() }

    @Test("TOOL-3: tftp, loaded", arguments: ArtifactStoreSuite { try TFTPStore(root: $0) }.checks.indices)
    func loaded(index: Int) async throws {
        let provider = try LoadedModules.inventory.registry.artifactStore(named: "tftp")
        await ArtifactStoreSuite { try provider.makeStore(root: $0) }.checks[index].run()
    }

    @Test("a relay that does nothing changes nothing: what the broken stores are found by is their fault")
    func relayed() async throws {
        let suite = ArtifactStoreSuite { try BrokenArtifactStore(root: $0, .init(packets: { { [$1] } })) }
        // The relay has an address of its own, and a port that nobody gets by stopping a server.
        let beyondRelays = ["gives its port back", "all that a machine has"]
        for check in suite.checks where !beyondRelays.contains(where: { check.name.contains($0) }) {
            try await check.body()
        }
    }

    @Test("broken implementations are found", arguments: BrokenArtifactStore.Fault.all.indices)
    func broken(index: Int) async throws {
        let (name, fault, words) = BrokenArtifactStore.Fault.all[index]
        let suite = ArtifactStoreSuite { try BrokenArtifactStore(root: $0, fault) }
        let check = try #require(suite.checks.first { $0.name.contains(words) })
        do {
            try await check.body()
            Issue.record("'\(name)' passed '\(check.name)'")
        } catch {
            print("'\(name)' is found by '\(check.name)': \(error)")
        }
    }
}
