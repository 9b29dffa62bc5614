import Testing

/// Boots a host before the first test of a suite and takes its power away after the last.
struct HostTrait: SuiteTrait, TestScoping {
    /// Prepares the servers and disks for this boot.
    let prepare: @Sendable (Lab) async throws -> HostShape

    var isRecursive: Bool { false }

    func provideScope(
        for test: Test,
        testCase: Test.Case?,
        performing function: @Sendable () async throws -> Void
    ) async throws {
        let lab = try Lab.current
        try await VirtualHost.withHost(try await prepare(lab), in: lab) { _ in try await function() }
    }
}

extension Trait where Self == HostTrait {
    /// A booted host for the suite; see ``VirtualHost``.
    static func host(_ prepare: @escaping @Sendable (Lab) async throws -> HostShape) -> Self {
        Self(prepare: prepare)
    }
}
