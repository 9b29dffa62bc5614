import BuildOSKit
import Glibc

internal import CBtrfsUtil

/// Subvolumes, snapshots and streams of btrfs, by libbtrfsutil and system calls, on threads of its own.
public actor BtrfsStorage: MachineStorage {
    public nonisolated let backendName = "btrfs"
    public nonisolated var capabilities: MachineStorageCapabilities { .ofBtrfs }

    private let executor: BlockingExecutor
    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// Starts the storage's thread.
    ///
    /// - Throws: `Errno` if the system has no thread or descriptor left.
    public init() throws {
        executor = try BlockingExecutor(name: "btrfs-storage")
    }

    public func isVolume(_ directory: FilePath) throws(MachineStorageError) -> Bool {
        switch cbtrfsutil_is_on_btrfs(directory.string) {
        case 0: return false
        case 1: return true
        default: throw MachineStorageError(Errno(rawValue: errno), directory, "look at the file system")
        }
    }

    public func subvolumes(in directory: FilePath) throws(MachineStorageError) -> [Subvolume] {
        guard try isVolume(directory) else {
            throw MachineStorageError(.notAVolume, path: directory, cause: "it is not on a btrfs file system")
        }
        let names: [String]
        do throws(FileError) {
            names = try FileTree.names(in: directory)
        } catch {
            throw MachineStorageError(error.errno, error.path, error.operation)
        }
        let opened = open(directory.string, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { close(opened) }
        guard opened >= 0 else { throw MachineStorageError(Errno(rawValue: errno), directory, "list it") }
        var found: [Subvolume] = []
        for name in names {
            do throws(MachineStorageError) {
                if let subvolume = try Self.look(opened, name, directory.appending(name)) { found.append(subvolume) }
            } catch  where error.kind == .notFound {
                // It was deleted since the directory was read.
            }
        }
        return found
    }

    public func subvolume(at path: FilePath) throws(MachineStorageError) -> Subvolume {
        try requireSubvolume(path)
        guard let subvolume = try Self.look(AT_FDCWD, path.string, path) else {
            throw MachineStorageError(.notASubvolume, path: path, cause: "it is not a btrfs subvolume")
        }
        return subvolume
    }

    /// What is known of an entry of a directory; `nil` if it isn't a subvolume.
    private static func look(
        _ directory: Int32,
        _ name: String,
        _ path: FilePath
    ) throws(MachineStorageError) -> Subvolume? {
        var found = cbtrfsutil_subvolume()
        let result = cbtrfsutil_look(directory, name, &found)
        guard result >= 0 else { throw MachineStorageError(Errno(rawValue: errno), path, "read the subvolume") }
        guard result > 0 else { return nil }
        return Subvolume(
            path: path,
            isReadOnly: found.is_read_only != 0,
            uuid: withUnsafeBytes(of: found.uuid) { Self.text(ofUUID: $0) },
            parentUUID: withUnsafeBytes(of: found.parent_uuid) { Self.text(ofUUID: $0) },
            receivedUUID: withUnsafeBytes(of: found.received_uuid) { Self.text(ofUUID: $0) }
        )
    }

    public func space(of directory: FilePath) throws(MachineStorageError) -> VolumeSpace {
        var status = statvfs()
        guard statvfs(directory.string, &status) == 0 else {
            throw MachineStorageError(Errno(rawValue: errno), directory, "look at the file system")
        }
        let unit = Int64(status.f_frsize)
        return VolumeSpace(total: Int64(status.f_blocks) * unit, available: Int64(status.f_bavail) * unit)
    }

    public func synchronize(_ directory: FilePath) throws(MachineStorageError) {
        try check(btrfs_util_sync(directory.string), directory, "write the file system to its disk")
    }

    public func create(_ path: FilePath) throws(MachineStorageError) {
        try check(btrfs_util_create_subvolume(path.string, 0, nil, nil), path, "create the subvolume")
    }

    public func snapshot(
        _ source: FilePath,
        to destination: FilePath,
        readOnly: Bool
    ) throws(MachineStorageError) {
        try requireSubvolume(source)
        let flags = readOnly ? BTRFS_UTIL_CREATE_SNAPSHOT_READ_ONLY : 0
        // Into a directory that exists, the library would make the snapshot under the source's name.
        guard !FileTree.exists(destination) else {
            throw MachineStorageError(.alreadyExists, path: destination, cause: "there is something already")
        }
        try check(
            btrfs_util_create_snapshot(source.string, destination.string, flags, nil, nil),
            destination,
            "make a snapshot of \(source)"
        )
    }

    public func setReadOnly(_ readOnly: Bool, _ path: FilePath) throws(MachineStorageError) {
        try requireSubvolume(path)
        try check(
            btrfs_util_set_subvolume_read_only(path.string, readOnly),
            path,
            readOnly ? "make it read-only" : "make it writable"
        )
        if !readOnly { try forgetOrigin(path) }
    }

    /// What can be written is no longer what was received, nor a parent to build on: as `btrfs property set -f` has it.
    private func forgetOrigin(_ path: FilePath) throws(MachineStorageError) {
        guard try subvolume(at: path).receivedUUID != nil else { return }
        let root = open(path.string, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        defer { close(root) }
        guard root >= 0, cbtrfsutil_set_received(root, [UInt8](repeating: 0, count: 16), 0) == 0 else {
            throw MachineStorageError(Errno(rawValue: errno), path, "forget what it was received from")
        }
    }

    public func delete(_ path: FilePath) throws(MachineStorageError) {
        try requireSubvolume(path)
        let code = btrfs_util_delete_subvolume(path.string, 0)
        guard code != BTRFS_UTIL_OK else { return }
        let reason = Errno(rawValue: errno)
        // An owner other than root may delete only what is writable.
        if reason == .readOnlyFileSystem, btrfs_util_set_subvolume_read_only(path.string, false) == BTRFS_UTIL_OK {
            try check(btrfs_util_delete_subvolume(path.string, 0), path, "delete the subvolume")
            return
        }
        guard reason != .directoryNotEmpty else {
            throw MachineStorageError(
                .busy,
                path: path,
                cause: "can't delete the subvolume: it holds other subvolumes, which must be deleted first"
            )
        }
        if reason == .notPermitted, geteuid() == 0 {
            throw MachineStorageError(.busy, path: path, cause: "can't delete the subvolume: it is just being sent")
        }
        throw MachineStorageError(reason, path, "delete the subvolume")
    }

    /// The root directory of a subvolume has inode 256; no other directory has, and no link is followed.
    private static func isSubvolume(_ path: FilePath) -> Bool {
        var status = stat()
        return lstat(path.string, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR && status.st_ino == 256
    }

    private func requireSubvolume(_ path: FilePath) throws(MachineStorageError) {
        guard FileTree.exists(path) else {
            throw MachineStorageError(.notFound, path: path, cause: "there is no such subvolume")
        }
        guard Self.isSubvolume(path), try isVolume(path) else {
            throw MachineStorageError(.notASubvolume, path: path, cause: "it is not a btrfs subvolume")
        }
    }

    private func check(
        _ code: btrfs_util_error,
        _ path: FilePath,
        _ operation: String
    ) throws(MachineStorageError) {
        guard code != BTRFS_UTIL_OK else { return }
        // The library leaves the system's reason in errno (btrfsutil.h).
        let reason = Errno(rawValue: errno)
        switch code {
        case BTRFS_UTIL_ERROR_NOT_BTRFS:
            throw MachineStorageError(.notAVolume, path: path, cause: "it is not on a btrfs file system")
        case BTRFS_UTIL_ERROR_NOT_SUBVOLUME:
            throw MachineStorageError(.notASubvolume, path: path, cause: "it is not a btrfs subvolume")
        default: throw MachineStorageError(reason, path, operation)
        }
    }

    /// `nil` for the identity of nothing, which is all zeros.
    private static func text(ofUUID bytes: UnsafeRawBufferPointer) -> String? {
        VolumeUUID(Array(bytes)).flatMap { $0.isZero ? nil : $0.description }
    }
}

extension MachineStorageCapabilities {
    fileprivate static var ofBtrfs: MachineStorageCapabilities {
        let formats = BtrfsStreamFormat.known
        return MachineStorageCapabilities(
            copyOnWrite: true,
            enforcedReadOnly: true,
            sends: formats.map(\.rawValue),
            receives: formats.map(\.rawValue) + [DirectoryStream.format],
            incrementalSend: true,
            compressedSend: formats.contains(.two)
        )
    }
}

/// Offers ``BtrfsStorage``.
public struct BtrfsStorageProvider: MachineStorageProvider {
    public let identity = BackendIdentity(
        name: "btrfs",
        interface: .machineStorage,
        summary: "btrfs subvolumes and snapshots (libbtrfsutil \(Self.libraryVersion))"
    )
    public var capabilities: MachineStorageCapabilities { .ofBtrfs }

    private static var libraryVersion: String {
        "\(BTRFS_UTIL_VERSION_MAJOR).\(BTRFS_UTIL_VERSION_MINOR).\(BTRFS_UTIL_VERSION_PATCH)"
    }

    /// Creates a provider.
    public init() {}

    public func preflight() async -> [PreflightFinding] {
        let known = (try? FileTree.readText("/proc/filesystems")) ?? ""
        return known.split(separator: "\n").contains { $0.hasSuffix("\tbtrfs") }
            ? []
            : [PreflightFinding(problem: "the kernel does not know btrfs yet", remedy: "modprobe btrfs")]
    }

    public func makeStorage() throws -> any MachineStorage { try BtrfsStorage() }
}
