import BuildOSConformance
import BuildOSKit
import TFTPStore
import Testing

@Suite("BACK-3: ArtifactStore") struct ArtifactStoreConformance {
    @Test("TOOL-3: tftp, linked", arguments: ArtifactStoreSuite { try TFTPStore(root: $0) }.checks)
    func linked(check: ConformanceCheck) async throws { try await check.body() }

    @Test("TOOL-3: tftp, loaded", arguments: ArtifactStoreSuite { try TFTPStore(root: $0) }.checks.indices)
    func loaded(index: Int) async throws {
        let provider = try LoadedModules.inventory.registry.artifactStore(named: "tftp")
        try await ArtifactStoreSuite { try provider.makeStore(root: $0) }.checks[index].body()
    }
}
