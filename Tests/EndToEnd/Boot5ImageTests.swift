import BuildOSKit
import LocalTransport
import TestSupport
import Testing

extension EndToEndTests {
    @Suite("5. The image", .serialized)
    struct Boot5Image {
        @Test(
            "BOOT-1, BOOT-10: one command makes the three files, and the same ones, bit for bit, when it is run again",
            .timeLimit(.minutes(15))
        )
        func sameFiles() async throws {
            let lab = try Lab.current
            try await lab.secondImage.finish()
            let first = StagedTree.root.appending("image")
            for name in ["buildos-image", "buildos-initrd", "buildos-buildid"] {
                let comparison = try await lab.transport.run(
                    Command("cmp", [first.appending(name).string, lab.secondImage.directory.appending(name).string]),
                    input: .none,
                    output: .collected(limit: 1 << 16),
                    error: .collected(limit: 1 << 16),
                    timeLimit: .seconds(60)
                )
                #expect(comparison.status.isSuccess, "\(comparison.outputText)\(comparison.errorText)")
            }
        }
    }
}
