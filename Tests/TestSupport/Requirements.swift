import BuildOSKit
import Testing

/// Whether a test may be passed over for want of something on this machine; CI sets `BUILDOS_REQUIRE=all`.
public enum Requirements {
    /// Whether a skip counts as a failure.
    public static var areAllRequired: Bool { HostProcess.environmentVariable("BUILDOS_REQUIRE") == "all" }

    /// Says whether a test can go on. If not, prints the reason, and fails the test where nothing may be skipped.
    public static func isMet(
        _ condition: Bool,
        _ reason: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) -> Bool {
        if condition { return true }
        print("skipped: \(reason)")
        if areAllRequired { Issue.record("nothing may be skipped: \(reason)", sourceLocation: sourceLocation) }
        return false
    }
}
