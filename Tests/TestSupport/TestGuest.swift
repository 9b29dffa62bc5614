import BuildOSConformance
import BuildOSKit
import LocalTransport
import Testing

/// The guest that `Scripts/make-test-guest` makes, once.
public enum TestGuest {
    /// Where it is made.
    public static var directory: FilePath { StagedTree.root.appending("test-guest") }

    /// Its files.
    public static var paths: ConformanceEnvironment.Guest {
        ConformanceEnvironment.Guest(
            kernel: directory.appending("vmlinuz"),
            initrd: directory.appending("initrd")
        )
    }

    private static let making = Task {
        let script = StagedTree.checkout.appending("Scripts/make-test-guest")
        return try await LocalTransport().run(
            Command(script.string, [directory.string]),
            input: .none,
            output: .collected(limit: 1 << 20),
            error: .collected(limit: 1 << 20),
            timeLimit: .seconds(600)
        )
    }

    /// Makes it if it isn't there; says whether tests that need it can go on.
    public static func isMade() async -> Bool {
        let reason: String
        do {
            let result = try await making.value
            if result.status.isSuccess { return true }
            reason = result.errorText
        } catch { reason = "\(error)" }
        return Requirements.isMet(false, "the test guest can't be made: \(reason)")
    }
}
