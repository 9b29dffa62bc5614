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
        /// There is nothing at the path.
        case notFound
        /// There is something already where something was to be made.
        case alreadyExists
        /// What is at the path is a plain directory, a file or a link.
        case notASubvolume
        /// The path isn't on a file system of this storage's kind.
        case notAVolume
        /// The system forbids it to this user (`EPERM`, `EACCES`).
        case noPermission
        /// The volume is full, or its quota used up (`ENOSPC`, `EDQUOT`).
        case noSpace
        /// The volume, or the subvolume that would change, is read-only (`EROFS`).
        case readOnly
        /// It holds other subvolumes, or is in use (`EBUSY`, `ENOTEMPTY`).
        case busy
        /// The stream builds on a subvolume that isn't here, or was changed.
        case noParent
        /// Only what is read-only can be sent.
        case writable
        /// What was to be received is not a stream of this storage, is damaged, or ended too early.
        case badStream
        /// Nobody reads the stream any more.
        case streamClosed
        /// The task was cancelled.
        case cancelled
        /// This storage can't do that; see ``MachineStorage/capabilities``.
        case unsupported
        /// Something else, told by the cause.
        case other
    }

    /// What kind of failure it is.
    public let kind: Kind
    /// The path it concerns.
    public let path: FilePath
    /// Why it failed, in the system's words where it has any.
    public let cause: String

    /// Creates an error.
    public init(_ kind: Kind, path: FilePath, cause: String) {
        self.kind = kind
        self.path = path
        self.cause = cause
    }

    /// What a reason of the system's means to a storage.
    ///
    /// - Parameter operation: what was attempted, as in "can't …".
    public init(_ reason: Errno, _ path: FilePath, _ operation: String) {
        let kind: Kind =
            switch reason {
            case .noSuchFileOrDirectory, .notDirectory: .notFound
            case .fileExists: .alreadyExists
            case .permissionDenied, .notPermitted: .noPermission
            case .noSpace, .diskQuotaExceeded: .noSpace
            case .readOnlyFileSystem: .readOnly
            case .resourceBusy, .textFileBusy: .busy
            // The inappropriate ioctl of another file system.
            case .inappropriateIOCTLForDevice: .notAVolume
            default: .other
            }
        self.init(kind, path: path, cause: "can't \(operation): \(reason)")
    }

    /// The error of an operation that a storage does not offer.
    public static func unsupported(_ operation: String, _ path: FilePath, by storage: any MachineStorage) -> Self {
        Self(.unsupported, path: path, cause: UnsupportedOperation(operation, backend: storage.backendName).description)
    }

    public var subject: String { path.string }
    public var remedy: String? {
        switch kind {
        case .noParent: "send it whole, or on the base of a revision that is here"
        case .writable: "send a read-only snapshot of it"
        case .badStream: "send it again"
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
    /// Names of the formats in which it sends, best first; empty if it can't send.
    public let sends: [String]
    /// Names of the formats that it receives; empty if it can't receive.
    public let receives: [String]
    /// Whether it can send the difference to a parent alone.
    public let incrementalSend: Bool
    /// Whether it can send data compressed as it is stored.
    public let compressedSend: Bool

    /// Creates capabilities.
    public init(
        copyOnWrite: Bool,
        enforcedReadOnly: Bool,
        sends: [String] = [],
        receives: [String] = [],
        incrementalSend: Bool = false,
        compressedSend: Bool = false
    ) {
        self.copyOnWrite = copyOnWrite
        self.enforcedReadOnly = enforcedReadOnly
        self.sends = sends
        self.receives = receives
        self.incrementalSend = incrementalSend
        self.compressedSend = compressedSend
    }

    public var listing: [Capability] {
        [
            Capability("copy-on-write", copyOnWrite), Capability("enforced-read-only", enforcedReadOnly),
            Capability("sends", sends.isEmpty ? ["nothing"] : sends),
            Capability("receives", receives.isEmpty ? ["nothing"] : receives),
            Capability("incremental-send", incrementalSend), Capability("compressed-send", compressedSend),
        ]
    }
}

/// What to send, and on the base of what.
public struct SendRequest: Sendable, Hashable {
    /// A read-only subvolume.
    public var subvolume: FilePath
    /// A read-only subvolume that the receiver has; `nil` sends everything.
    public var parent: FilePath?
    /// The format, one of ``MachineStorageCapabilities/sends``; the storage's best if `nil`.
    public var format: String?

    /// Creates a request.
    public init(_ subvolume: FilePath, parent: FilePath? = nil, format: String? = nil) {
        self.subvolume = subvolume
        self.parent = parent
        self.format = format
    }
}

/// Room on a volume.
public struct VolumeSpace: Sendable, Hashable, Codable {
    /// Bytes in all.
    public let total: Int64
    /// Bytes that can still be written.
    public let available: Int64

    /// Creates a description of a volume's room.
    public init(total: Int64, available: Int64) {
        self.total = total
        self.available = available
    }
}

/// Volumes, subvolumes and snapshots (MACH-1), and their way to other hosts (MACH-2, MACH-3).
///
/// What a path's last component is, is looked at without following links: a link to a subvolume is not a subvolume.
/// Every operation throws ``MachineStorageError``; besides the kinds named, `noPermission` and `other` may come anywhere.
public protocol MachineStorage: BackendInstance {
    /// What it can do.
    var capabilities: MachineStorageCapabilities { get }

    /// Whether the directory lies on a file system of this storage's kind.
    ///
    /// - Throws: `notFound`.
    func isVolume(_ directory: FilePath) async throws(MachineStorageError) -> Bool

    /// The room on the volume that holds a directory (statvfs(3)), in bytes.
    ///
    /// - Throws: `notFound`.
    func space(of directory: FilePath) async throws(MachineStorageError) -> VolumeSpace

    /// The subvolumes directly inside a directory, by name. Costs nothing for subvolumes elsewhere.
    ///
    /// - Throws: `notFound`.
    func subvolumes(in directory: FilePath) async throws(MachineStorageError) -> [Subvolume]

    /// What is known of one subvolume.
    ///
    /// - Throws: `notFound`, `notASubvolume`.
    func subvolume(at path: FilePath) async throws(MachineStorageError) -> Subvolume

    /// Makes an empty subvolume, writable. The directory it is made in must be there.
    ///
    /// - Throws: `notFound`, `alreadyExists`, `notAVolume`, `noSpace`, `readOnly`.
    func create(_ path: FilePath) async throws(MachineStorageError)

    /// Makes a snapshot: a subvolume of its own, with what the source held in that instant, whatever becomes of the source.
    ///
    /// - Throws: `notFound`, `alreadyExists`, `notASubvolume`, `noSpace`, `readOnly`.
    func snapshot(_ source: FilePath, to destination: FilePath, readOnly: Bool) async throws(MachineStorageError)

    /// Makes a subvolume read-only or writable; no error if it is so already.
    ///
    /// - Throws: `notFound`, `notASubvolume`.
    func setReadOnly(_ readOnly: Bool, _ path: FilePath) async throws(MachineStorageError)

    /// Deletes a subvolume with all that is in it, read-only or not. Its room may come back later than this returns.
    ///
    /// - Throws: `notFound`, `notASubvolume`; `busy` if it holds other subvolumes.
    func delete(_ path: FilePath) async throws(MachineStorageError)

    /// Returns when all that was done to the volume that holds a directory is on its disk (syncfs(2)).
    ///
    /// - Throws: `notFound`, `noSpace`.
    func synchronize(_ directory: FilePath) async throws(MachineStorageError)

    /// Writes a subvolume as a stream, from beginning to end. Cancelling the task ends it.
    ///
    /// - Parameters:
    ///   - sink: a pipe, a socket or a file, which stays the caller's to close.
    ///   - progress: called now and then, off the cooperative pool, with the bytes written so far; must not block.
    /// - Throws: `notFound`, `notASubvolume`, `streamClosed`, `noParent`, `cancelled`, `unsupported`; what was written by
    ///   then is of no use.
    func send(
        _ request: SendRequest,
        to sink: FileDescriptor,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(MachineStorageError)

    /// Makes a read-only subvolume in a directory from a stream, under the name that the stream gives it. Returns when it
    /// is on the disk.
    ///
    /// The stream is hostile: nothing outside of the new subvolume is touched, whatever it holds. The parent of an
    /// incremental stream is found by its identity: in the directory itself at least, and wherever else on the volume the
    /// storage can find it; it must not have been changed.
    ///
    /// - Parameters:
    ///   - source: a pipe, a socket or a file, read to the end of the stream; stays the caller's to close.
    ///   - directory: where the subvolume is made.
    ///   - progress: as in ``send(_:to:progress:)``, with the bytes read so far.
    /// - Returns: the subvolume, with ``Subvolume/receivedUUID`` set.
    /// - Throws: `badStream`, `noParent`, `alreadyExists`, `notFound`, `noSpace`, `cancelled`, `unsupported`; the half-made
    ///   subvolume is then gone.
    func receive(
        from source: FileDescriptor,
        into directory: FilePath,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(MachineStorageError) -> Subvolume
}

extension MachineStorage {
    public func send(
        _ request: SendRequest,
        to sink: FileDescriptor,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(MachineStorageError) {
        throw .unsupported("send", request.subvolume, by: self)
    }

    public func receive(
        from source: FileDescriptor,
        into directory: FilePath,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(MachineStorageError) -> Subvolume {
        throw .unsupported("receive", directory, by: self)
    }
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
