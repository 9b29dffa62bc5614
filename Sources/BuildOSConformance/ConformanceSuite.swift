import BuildOSKit

/// The checks of one interface, for one implementation of it.
public protocol ConformanceSuite: Sendable {
    /// The interface whose promises are checked.
    static var interface: BackendInterface { get }
    /// The checks, in the order in which they are best run. Each stands for itself: any may be run alone, or again.
    var checks: [ConformanceCheck] { get }
}

/// One thing that every implementation of an interface must do.
public struct ConformanceCheck: Sendable {
    /// What is expected, as a sentence.
    public let name: String
    /// How long it may take; the runner's limit if `nil`.
    public let timeLimit: Duration?
    /// Throws if the implementation does otherwise: a ``ConformanceFailure``, or an error of the interface where none
    /// was to come. Throws ``ConformanceSkip`` if it can't be told.
    public let body: @Sendable () async throws -> Void

    /// Creates a check.
    public init(_ name: String, timeLimit: Duration? = nil, _ body: @escaping @Sendable () async throws -> Void) {
        self.name = name
        self.timeLimit = timeLimit
        self.body = body
    }
}

/// An implementation did not do what its interface promises.
public struct ConformanceFailure: Error, CustomStringConvertible {
    /// What was found where the check's name says what was expected.
    public let description: String

    /// Creates a failure.
    public init(_ description: String) { self.description = description }
}

/// A check, or a whole suite, can't be run here.
public struct ConformanceSkip: Error, Hashable, Codable, CustomStringConvertible {
    /// Whose matter it is.
    public enum Kind: String, Sendable, Hashable, Codable {
        /// The backend doesn't claim to do that: its capabilities say so.
        case notOffered
        /// The backend could be checked with something that this environment doesn't have.
        case environment
    }

    /// Whose matter it is.
    public let kind: Kind
    /// What is missing, as a sentence.
    public let description: String

    /// Creates a skip for want of something outside of the backend.
    public init(_ reason: String) {
        kind = .environment
        description = reason
    }

    /// Creates a skip of what a backend doesn't claim to do.
    ///
    /// - Parameter capability: ``BuildOSKit/Capability/name``.
    public init(notOffered capability: String) {
        kind = .notOffered
        description = "the backend does not offer \(capability)"
    }
}

/// Ends a check that asks for what the backend doesn't claim to do: use as `else { return try passOver(…) }`.
///
/// - Parameter capability: ``BuildOSKit/Capability/name``.
/// - Throws: ``ConformanceSkip`` where a runner reports it; in a test of whatever framework the check passes.
func passOver(notOffered capability: String) throws {
    if ConformanceRunner.isReporting { throw ConformanceSkip(notOffered: capability) }
}

/// Throws a ``ConformanceFailure`` unless the condition holds.
func require(_ condition: Bool, _ otherwise: @autoclosure () -> String) throws {
    guard condition else { throw ConformanceFailure(otherwise()) }
}
