/// The name of a set of artifacts: one path component, neither hidden nor beginning with a dash.
public struct ArtifactSetName: Sendable, Hashable, CustomStringConvertible {
    /// The name.
    public let description: String

    /// `nil` if the text is not a single, visible path component of letters, digits, `.`, `_`, `+`, `-`.
    public init?(_ text: String) {
        guard let first = text.utf8.first, first != UInt8(ascii: "."), first != UInt8(ascii: "-"),
            text.utf8.count <= 128,
            text.utf8.allSatisfy({ byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "+"),
                    UInt8(ascii: "-"):
                    true
                default: false
                }
            })
        else { return nil }
        description = text
    }
}

/// A set that is being put together; readers do not see it.
public struct ArtifactStaging: Sendable, Hashable {
    /// The set it is to become.
    public let set: ArtifactSetName
    /// An empty directory on the store's file system, for the caller to fill.
    public let directory: FilePath

    /// Creates a description of a staging directory; for implementations.
    public init(set: ArtifactSetName, directory: FilePath) {
        self.set = set
        self.directory = directory
    }
}

/// Why a store could not do what it was asked to.
public struct ArtifactStoreError: DiagnosableError, Hashable {
    /// The path it concerns.
    public let path: FilePath
    /// Why it failed, in the system's words where it has any.
    public let cause: String
    /// What to do about it, if anything is known to help.
    public let remedy: String?
    public var subject: String { path.string }

    /// Creates an error.
    public init(path: FilePath, cause: String, remedy: String? = nil) {
        self.path = path
        self.cause = cause
        self.remedy = remedy
    }
}

/// What a store can do.
public struct ArtifactStoreCapabilities: CapabilitySet {
    /// Whether readers see either the whole old or the whole new set, whatever is killed when.
    public let atomicSwitch: Bool
    /// Protocols by which the store serves its sets itself.
    public let serves: [String]

    /// Creates capabilities.
    public init(atomicSwitch: Bool, serves: [String]) {
        self.atomicSwitch = atomicSwitch
        self.serves = serves
    }

    public var listing: [Capability] {
        [Capability("atomic-switch", atomicSwitch), Capability("serves", serves.isEmpty ? ["nothing"] : serves)]
    }
}

/// Publishes sets of files under predictable names; a set switches from old to new whole (TOOL-3, TOOL-8).
///
/// One process has one store for a directory. Every operation throws ``ArtifactStoreError`` with the path that the system
/// refused something for; what was published stays published then.
public protocol ArtifactStore: BackendInstance {
    /// What it can do.
    var capabilities: ArtifactStoreCapabilities { get }

    /// Removes what an earlier crash left behind. Call once before anything else; safe to repeat.
    func recover() async throws(ArtifactStoreError)

    /// Makes an empty staging directory. Any earlier one of the same set is removed, and can't be published any more.
    func begin(_ set: ArtifactSetName) async throws(ArtifactStoreError) -> ArtifactStaging

    /// Makes a staged set durable and puts it in place of the published one in one step. Files of the old one that a
    /// reader has open can be read on.
    ///
    /// - Throws: also for a directory that isn't one of this store's stagings, and if there is something under the set's
    ///   name that the store did not make: that is left alone.
    /// - Returns: the directory under which readers find it.
    func publish(_ staging: ArtifactStaging) async throws(ArtifactStoreError) -> FilePath

    /// Removes a staging directory without publishing. Safe to repeat; leaves alone what isn't this store's.
    func abandon(_ staging: ArtifactStaging) async

    /// The directory of a published set; `nil` if there is none.
    func published(_ set: ArtifactSetName) async throws(ArtifactStoreError) -> FilePath?

    /// Takes a set away from readers and deletes it. A set that isn't there is not an error.
    func remove(_ set: ArtifactSetName) async throws(ArtifactStoreError)

    /// Starts a server that hands out files, and takes files where it is told to (TOOL-8, BOT-3).
    ///
    /// - Returns: when it can be reached. It runs until ``ArtifactServer/stop()``.
    /// - Throws: if the end point can't be had, and by default, as a store need not serve.
    func serve(_ configuration: ArtifactServerConfiguration) async throws(ArtifactStoreError) -> any ArtifactServer
}

extension ArtifactStore {
    public func serve(
        _ configuration: ArtifactServerConfiguration
    ) async throws(ArtifactStoreError) -> any ArtifactServer {
        let operation = UnsupportedOperation("serve", backend: backendName)
        throw ArtifactStoreError(path: configuration.readRoot, cause: operation.description)
    }
}

/// Makes stores.
public protocol ArtifactStoreProvider: BackendProvider {
    /// What its stores can do.
    var capabilities: ArtifactStoreCapabilities { get }
    /// Makes a store that keeps its sets in the directory `root`, which is made if it isn't there.
    func makeStore(root: FilePath) throws -> any ArtifactStore
}

extension ArtifactStoreProvider {
    public var capabilityListing: [Capability] { capabilities.listing }
}
