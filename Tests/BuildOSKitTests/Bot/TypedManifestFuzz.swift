import TestSupport
import Testing

@testable import BuildOSKit

@Suite("BOT-3: typed manifests, bad input") struct TypedManifestFuzz {
    private static let names = [
        "session", "challenge", "result-url", "bindist-upload-url", "-upload-url", "agent-checksum", "name", "version",
        "repository-url", "machine", "auxiliary-machine", "auxiliary-machine-", "target", "status", "update-status",
        "-status", "update-log", "-log", "id", "summary", "role", "type", "mac", "options", "ram-minimum", "trust",
        "message",
    ]
    private static let values = [
        "", " ", "x", "http://h/?build-result", "http://", "file:///x", "success", "abnormal", "build", "kvm", "'",
        "\"a b",
        "de:ad:be:ef:00:01", "-1", "0", "99999999999999999999", "\u{1f600}", String(repeating: "a", count: 64), "200",
        String(repeating: "a\\\n", count: 50),
    ]

    @Test("BOT-3: whatever a controller, a worker or a machine says is taken or refused (20,000 seeded manifests)")
    func fuzz() {
        var generator = TestSupport.SeededGenerator(seed: 21)
        var taken = 0
        for _ in 0..<20_000 {
            let manifests = (0..<Int.random(in: 0...3, using: &generator)).map { _ in
                Manifest(
                    (0..<Int.random(in: 0...9, using: &generator)).compactMap { _ in
                        guard let name = Self.names.randomElement(using: &generator),
                            let value = Self.values.randomElement(using: &generator)
                        else { return nil }
                        return ManifestPair(name, value)
                    }
                )
            }
            if (try? TaskResponse(manifests, source: "fuzz")) != nil { taken += 1 }
            if (try? UploadResponse(manifests, source: "fuzz")) != nil { taken += 1 }
            for manifest in manifests {
                if let result = try? BuildResult(manifest, source: "fuzz") {
                    taken += 1
                    let again = try? BuildResult(result.manifest, source: "again")
                    #expect(again == result, "\(manifest)")
                }
                if let machine = try? MachineManifest(manifest, source: "fuzz") {
                    taken += 1
                    #expect((try? MachineManifest(machine.manifest, source: "again"))?.header == machine.header)
                }
                _ = try? BuildTask(manifest, source: "fuzz").forWorker(trusted: [], keepsChecksums: false)
            }
        }
        #expect(taken > 0)
    }
}
