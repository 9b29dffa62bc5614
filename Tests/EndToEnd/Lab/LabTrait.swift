import Testing

/// Gives all of a suite's tests one lab.
struct LabTrait: SuiteTrait, TestScoping {
    var isRecursive: Bool { false }

    func provideScope(
        for test: Test,
        testCase: Test.Case?,
        performing function: @Sendable () async throws -> Void
    ) async throws {
        try await Lab.withLab { lab in
            try lab.publishImage()
            do { try await function() } catch {
                await lab.secondImage.cancel()
                throw error
            }
            await lab.secondImage.cancel()
        }
    }
}

extension Trait where Self == LabTrait {
    /// One lab for the suite; see ``Lab``.
    static var lab: Self { Self() }
}
