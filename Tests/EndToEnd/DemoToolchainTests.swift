import BuildOSKit
import LocalTransport
import TestSupport
import Testing

@Suite("Demo toolchain")
struct DemoToolchainTests {
    @Test("TOOL-5: the demo toolchain has the options, refusals and results of a real one")
    func manners() async throws {
        let script = StagedTree.checkout.appending("Examples/demo-toolchain/test-toolchain")
        let result = try await LocalTransport().run(
            Command(script.string),
            input: .none,
            output: .collected(limit: 1 << 20),
            error: .collected(limit: 1 << 20),
            timeLimit: .seconds(120)
        )
        let failures = result.outputText.split(separator: "\n").filter { !$0.hasPrefix("ok: ") }.joined(separator: "\n")
        #expect(result.status.isSuccess, "\(failures)\n\(result.errorText)")
        #expect(failures.hasSuffix(" checks passed, 0 failed"))
    }
}
