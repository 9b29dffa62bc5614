/// A subvolume: a directory tree that can be snapshotted, made read-only and deleted as a whole.
public struct Subvolume: Sendable, Hashable {
    /// Where it is.
    public let path: FilePath
    /// Whether its content can't be changed.
    public let isReadOnly: Bool
    /// Its identity, where the storage keeps one.
    public let uuid: String?
    /// The identity of what it is a snapshot of.
    public let parentUUID: String?
    /// The identity on the sender of what it was received from.
    public let receivedUUID: String?

    /// Creates a description of a subvolume.
    public init(path: FilePath, isReadOnly: Bool, uuid: String?, parentUUID: String?, receivedUUID: String?) {
        self.path = path
        self.isReadOnly = isReadOnly
        self.uuid = uuid
        self.parentUUID = parentUUID
        self.receivedUUID = receivedUUID
    }

    /// The last component of the path.
    public var name: String { path.lastComponent?.string ?? "" }
}

/// Why a storage operation failed.
public struct MachineStorageError: DiagnosableError, Hashable {
    /// The kinds of failure that policy tells apart.
    public enum Kind: String, Sendable, Hashable {
        case notFound, alreadyExists, notASubvolume, notAVolume, noPermission, noSpace, readOnly, busy, other
    }

    /// What kind of failure it is.
    public let kind: Kind
    /// The path it concerns.
    public let path: FilePath
    public let cause: String

    /// Creates an error.
    public init(_ kind: Kind, path: FilePath, cause: String) {
        self.kind = kind
        self.path = path
        self.cause = cause
    }

    public var subject: String { path.string }
    public var remedy: String? {
        switch kind {
        case .noPermission: "run as root, or mount with user_subvol_rm_allowed"
        case .noSpace: "remove machines or revisions that are no longer used"
        case .notAVolume: "format the disk with mkfs.btrfs and label it buildos.machines"
        default: nil
        }
    }
}

/// What a storage can do.
public struct MachineStorageCapabilities: CapabilitySet {
    /// Whether a snapshot shares its data with its source.
    public let copyOnWrite: Bool
    /// Whether a read-only subvolume can't be written even by root.
    public let enforcedReadOnly: Bool

    /// Creates capabilities.
    public init(copyOnWrite: Bool, enforcedReadOnly: Bool) {
        self.copyOnWrite = copyOnWrite
        self.enforcedReadOnly = enforcedReadOnly
    }

    public var listing: [Capability] {
        [Capability("copy-on-write", copyOnWrite), Capability("enforced-read-only", enforcedReadOnly)]
    }
}

/// Volumes, subvolumes and snapshots (MACH-1).
public protocol MachineStorage: Sendable {
    /// What it can do.
    var capabilities: MachineStorageCapabilities { get }

    /// Whether the directory lies on a file system of this storage's kind.
    func isVolume(_ directory: FilePath) async throws(MachineStorageError) -> Bool

    /// The subvolumes directly inside a directory, by name. Costs nothing for subvolumes elsewhere.
    func subvolumes(in directory: FilePath) async throws(MachineStorageError) -> [Subvolume]

    /// What is known of one subvolume.
    func subvolume(at path: FilePath) async throws(MachineStorageError) -> Subvolume

    /// Makes an empty subvolume.
    func create(_ path: FilePath) async throws(MachineStorageError)

    /// Makes a snapshot.
    func snapshot(_ source: FilePath, to destination: FilePath, readOnly: Bool) async throws(MachineStorageError)

    /// Makes a subvolume read-only or writable.
    func setReadOnly(_ readOnly: Bool, _ path: FilePath) async throws(MachineStorageError)

    /// Deletes a subvolume, read-only or not.
    func delete(_ path: FilePath) async throws(MachineStorageError)
}

/// Makes storages.
public protocol MachineStorageProvider: BackendProvider {
    /// What its storages can do.
    var capabilities: MachineStorageCapabilities { get }
    /// Makes a storage.
    func makeStorage() throws -> any MachineStorage
}

extension MachineStorageProvider {
    public var capabilityListing: [Capability] { capabilities.listing }
}
