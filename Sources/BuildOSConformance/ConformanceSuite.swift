import BuildOSKit

/// One thing that every implementation of an interface must do.
public struct ConformanceCheck: Sendable {
    /// What is checked, as a sentence.
    public let name: String
    /// Throws if the implementation does otherwise.
    public let body: @Sendable () async throws -> Void

    /// Creates a check.
    public init(_ name: String, _ body: @escaping @Sendable () async throws -> Void) {
        self.name = name
        self.body = body
    }
}

/// An implementation did not do what its interface promises.
public struct ConformanceFailure: Error, CustomStringConvertible {
    /// What was expected and what was found.
    public let description: String

    /// Creates a failure.
    public init(_ description: String) { self.description = description }
}

/// Throws a ``ConformanceFailure`` unless the condition holds.
func require(_ condition: Bool, _ otherwise: @autoclosure () -> String) throws {
    guard condition else { throw ConformanceFailure(otherwise()) }
}
