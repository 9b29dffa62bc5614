/// The interfaces a backend can implement.
public enum BackendInterface: String, Sendable, Codable, CaseIterable {
    /// ``Fetcher``
    case fetcher
    /// ``ArtifactStore``
    case artifactStore = "artifact-store"
    /// ``MachineStorage``
    case machineStorage = "machine-storage"
    /// ``VirtualMachines``
    case virtualMachines = "virtual-machines"
    /// ``Transport``
    case transport
}

/// Who a backend is.
public struct BackendIdentity: Sendable, Hashable, Codable {
    /// Short name by which an operator selects it: lower case, no blanks.
    public let name: String
    /// What it implements.
    public let interface: BackendInterface
    /// One line for listings, with the version of the library underneath.
    public let summary: String

    /// Creates an identity.
    public init(name: String, interface: BackendInterface, summary: String) {
        self.name = name
        self.interface = interface
        self.summary = summary
    }
}

/// One thing an implementation can or cannot do, as listings show it.
public struct Capability: Sendable, Hashable, Codable {
    /// Lower-case words joined by `-`.
    public let name: String
    /// `yes`, `no`, or a list of values.
    public let value: String

    /// Creates a capability with a value of several words.
    public init(_ name: String, _ values: [String]) {
        self.name = name
        self.value = values.joined(separator: " ")
    }

    /// Creates a capability that is there or isn't.
    public init(_ name: String, _ isThere: Bool) {
        self.name = name
        self.value = isThere ? "yes" : "no"
    }
}

/// What an implementation can do, as a value: decisions, documentation and tests are derived from it.
public protocol CapabilitySet: Sendable, Hashable {
    /// Every capability by name, in a fixed order.
    var listing: [Capability] { get }
}

/// Something a backend needs and does not find on this machine.
public struct PreflightFinding: Sendable, Hashable, Codable {
    /// What is missing.
    public let problem: String
    /// How to mend it.
    public let remedy: String

    /// Creates a finding.
    public init(problem: String, remedy: String) {
        self.problem = problem
        self.remedy = remedy
    }
}

/// What every implementation of an interface says of itself.
public protocol BackendInstance: Sendable {
    /// The name of the backend that made it, for errors: ``BackendIdentity/name``.
    var backendName: String { get }
}

/// Makes instances of one implementation; what a module registers.
public protocol BackendProvider: Sendable {
    /// Who it is.
    var identity: BackendIdentity { get }
    /// What its instances can do, as listings show it.
    var capabilityListing: [Capability] { get }
    /// What is missing on this machine; empty if the backend can work.
    func preflight() async -> [PreflightFinding]
}

/// An operation that an implementation does not offer.
public struct UnsupportedOperation: DiagnosableError, Hashable {
    /// The operation asked for.
    public let operation: String
    /// The name of the backend that does not offer it.
    public let backend: String

    /// Creates the error.
    public init(_ operation: String, backend: String) {
        self.operation = operation
        self.backend = backend
    }

    public var subject: String { operation }
    public var cause: String { "not supported by the backend '\(backend)'" }
    public var remedy: String? { "'buildosctl backends' lists what each backend can do" }
}
