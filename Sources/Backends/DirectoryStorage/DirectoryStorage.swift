import BuildOSKit
import Glibc

internal import CFiles

/// Subvolumes as plain directories of any file system: snapshots are copies, which share their data where the file system
/// can (reflinks of btrfs and xfs), and keep holes where not.
///
/// A snapshot is of one moment only if nobody writes the source meanwhile. Read-only is what ``ReadOnlyFlags`` makes of it.
/// Works without root, except that owners and devices are root's to give and set; files that are unpacked then belong to
/// whoever does it. What each operation makes or removes appears or goes by one rename.
public struct DirectoryStorage: MachineStorage {
    public let backendName = "directory"
    public let capabilities = MachineStorageCapabilities.ofDirectories

    /// Creates a storage; it has no state of its own.
    public init() {}

    /// Any directory on a file system that keeps files, as opposed to /proc and its like.
    public func isVolume(_ directory: FilePath) async throws(MachineStorageError) -> Bool {
        try await blocking { () throws(MachineStorageError) in
            try Self.status(of: directory).f_blocks > 0 && FileTree.isDirectory(directory)
        }
    }

    public func space(of directory: FilePath) async throws(MachineStorageError) -> VolumeSpace {
        try await blocking { () throws(MachineStorageError) in
            let status = try Self.status(of: directory)
            let unit = Int64(status.f_frsize)
            return VolumeSpace(total: Int64(status.f_blocks) * unit, available: Int64(status.f_bavail) * unit)
        }
    }

    public func subvolumes(in directory: FilePath) async throws(MachineStorageError) -> [Subvolume] {
        try await blocking { () throws(MachineStorageError) in
            guard try Self.status(of: directory).f_blocks > 0 else {
                throw MachineStorageError(.notAVolume, path: directory, cause: "its file system keeps no files")
            }
            guard FileTree.isDirectory(directory) else {
                throw MachineStorageError(.notFound, path: directory, cause: "it is not a directory")
            }
            return SubvolumeTable(directory).all().map { Self.describe(directory.appending($0.name), $0.record) }
        }
    }

    public func subvolume(at path: FilePath) async throws(MachineStorageError) -> Subvolume {
        try await blocking { () throws(MachineStorageError) in Self.describe(path, try Self.find(path).record) }
    }

    public func create(_ path: FilePath) async throws(MachineStorageError) {
        try await blocking { () throws(MachineStorageError) in
            let (table, name) = try Self.place(path)
            try Self.make(name, in: table) { work in
                guard fchmod(work, 0o755) == 0 else { throw Errno(rawValue: errno) }
                return SubvolumeRecord(inode: 0, own: .new())
            }
        }
    }

    public func snapshot(
        _ source: FilePath,
        to destination: FilePath,
        readOnly: Bool
    ) async throws(MachineStorageError) {
        try await blocking { () throws(MachineStorageError) in
            let original = try Self.find(source).record
            let (table, name) = try Self.place(destination)
            try Self.make(name, in: table) { work in
                let root = try FileDescriptor.open(source, .readOnly, options: [.directory, .noFollow, .closeOnExec])
                try root.closeAfter {
                    try DirectoryStream.copy(
                        root,
                        to: FileDescriptor(rawValue: work),
                        passingOver: SubvolumeTable.names
                    )
                }
                // What a crash leaves must not look complete and be empty.
                guard cfiles_synchronize(work) == 0 else { throw Errno(rawValue: errno) }
                return SubvolumeRecord(
                    inode: 0,
                    own: .new(),
                    parent: original.own.uuid,
                    // As on btrfs: what is read-only is still what was received.
                    received: readOnly && original.isReadOnly ? original.received : nil,
                    isReadOnly: readOnly
                )
            }
        }
    }

    public func setReadOnly(_ readOnly: Bool, _ path: FilePath) async throws(MachineStorageError) {
        try await blocking { () throws(MachineStorageError) in
            let (table, name) = try Self.place(path)
            _ = try Self.find(path)
            let root = try Self.open(path)
            defer { close(root) }
            if !readOnly { ReadOnlyFlags.clear(root) }
            try table.locked { () throws(MachineStorageError) in
                var record = try Self.find(path).record
                if record.isReadOnly, !readOnly {
                    record.received = nil
                    record.own.generation += 1
                }
                record.isReadOnly = readOnly
                try table.write(record, for: name)
            }
            if readOnly { ReadOnlyFlags.set(root) }
        }
    }

    public func delete(_ path: FilePath) async throws(MachineStorageError) {
        try await blocking { () throws(MachineStorageError) in
            let (table, name) = try Self.find(path).place
            let root = try Self.open(path)
            defer { close(root) }
            if NestedSubvolumes.exist(in: root) {
                throw MachineStorageError(
                    .busy,
                    path: path,
                    cause: "can't delete the subvolume: it holds other subvolumes, which must be deleted first"
                )
            }
            // A directory with the flag can't be renamed.
            if geteuid() == 0 { _ = cfiles_set_immutable(root, 0) }
            try table.abandon(try table.withdraw(name))
        }
    }

    public func synchronize(_ directory: FilePath) async throws(MachineStorageError) {
        try await blocking { () throws(MachineStorageError) in
            let root = try Self.open(directory)
            defer { close(root) }
            guard cfiles_synchronize(root) == 0 else {
                throw MachineStorageError(Errno(rawValue: errno), directory, "write the file system to its disk")
            }
        }
    }

    private func blocking<Success: Sendable>(
        _ body: @escaping @Sendable () throws(MachineStorageError) -> Success
    ) async throws(MachineStorageError) -> Success {
        try await DedicatedThread.run(name: "directory-store", body)
    }
}

extension DirectoryStorage {
    /// A subvolume's place and record.
    ///
    /// - Throws: ``MachineStorageError`` if there is nothing, or no subvolume.
    static func find(
        _ path: FilePath
    ) throws(MachineStorageError) -> (place: (table: SubvolumeTable, name: String), record: SubvolumeRecord) {
        guard FileTree.exists(path) else {
            throw MachineStorageError(.notFound, path: path, cause: "there is no such subvolume")
        }
        let (table, name) = try place(path)
        guard let record = table.record(name) else {
            throw MachineStorageError(.notASubvolume, path: path, cause: "it is not a subvolume of this storage")
        }
        return ((table, name), record)
    }

    /// The table that a path belongs to, and the name in it.
    static func place(_ path: FilePath) throws(MachineStorageError) -> (table: SubvolumeTable, name: String) {
        guard let component = path.lastComponent, component.kind == .regular,
            component.string != SubvolumeTable.hiddenName
        else { throw MachineStorageError(.notASubvolume, path: path, cause: "a subvolume can't have this name") }
        let directory = path.removingLastComponent()
        return (SubvolumeTable(directory.isEmpty ? "." : directory), component.string)
    }

    /// Makes a subvolume: `fill` fills an empty directory, and gives the record, in which the inode is then set.
    static func make(
        _ name: String,
        in table: SubvolumeTable,
        _ fill: (Int32) throws -> SubvolumeRecord
    ) throws(MachineStorageError) {
        let path = table.directory.appending(name)
        guard !FileTree.exists(path) else {
            throw MachineStorageError(.alreadyExists, path: path, cause: "there is something already")
        }
        let work = try table.begin()
        do {
            let record = try fill(work.descriptor)
            let root = fcntl(work.descriptor, F_DUPFD_CLOEXEC, 0)
            defer { close(root) }
            try table.publish(work, as: name) { inode in
                var record = record
                record.inode = inode
                return record
            }
            if record.isReadOnly { ReadOnlyFlags.set(root) }
        } catch {
            try? table.abandon(work)
            throw MachineStorageError(copying: error, path)
        }
    }

    static func open(_ path: FilePath) throws(MachineStorageError) -> Int32 {
        let root = Glibc.open(path.string, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard root >= 0 else { throw MachineStorageError(Errno(rawValue: errno), path, "open the directory") }
        return root
    }

    static func describe(_ path: FilePath, _ record: SubvolumeRecord) -> Subvolume {
        Subvolume(
            path: path,
            isReadOnly: record.isReadOnly,
            uuid: record.own.uuid.description,
            parentUUID: record.parent?.description,
            receivedUUID: record.received?.uuid.description
        )
    }

    private static func status(of directory: FilePath) throws(MachineStorageError) -> statvfs {
        var status = statvfs()
        guard statvfs(directory.string, &status) == 0 else {
            throw MachineStorageError(Errno(rawValue: errno), directory, "look at the file system")
        }
        return status
    }
}

extension MachineStorageCapabilities {
    static let ofDirectories = MachineStorageCapabilities(
        copyOnWrite: false,
        enforcedReadOnly: false,
        sends: [DirectoryStream.format],
        receives: [DirectoryStream.format],
        incrementalSend: true
    )
}

/// Offers ``DirectoryStorage``.
public struct DirectoryStorageProvider: MachineStorageProvider {
    public let identity = BackendIdentity(
        name: "directory",
        interface: .machineStorage,
        summary: "plain directories of any file system, with reflinks where it has them"
    )
    public let capabilities = MachineStorageCapabilities.ofDirectories

    /// Creates a provider.
    public init() {}

    public func preflight() async -> [PreflightFinding] {
        FileTree.exists("/proc/self/fd")
            ? [] : [PreflightFinding(problem: "/proc is not mounted", remedy: "mount -t proc proc /proc")]
    }

    public func makeStorage() throws -> any MachineStorage { DirectoryStorage() }
}
