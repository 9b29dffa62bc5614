import BuildOSKit
import Glibc

internal import CBtrfsUtil

/// Where a subvolume that is received is made.
struct SubvolumePlace {
    /// The directory that it is in, and that open.
    let directory: FilePath
    let descriptor: FileDescriptor
    /// Its name there.
    let name: String

    var path: FilePath { directory.appending(name) }

    /// Makes it, writable, and opens it.
    ///
    /// - Parameter parent: what it is a snapshot of at first; `nil` for an empty one.
    func make(from parent: FileDescriptor?) throws(MachineStorageError) -> FileDescriptor {
        guard !FileTree.exists(path) else {
            throw MachineStorageError(
                .alreadyExists,
                path: path,
                cause: "there is something of the stream's name already"
            )
        }
        let code =
            if let parent {
                btrfs_util_create_snapshot_fd2(parent.rawValue, descriptor.rawValue, name, 0, nil, nil)
            } else {
                btrfs_util_create_subvolume_fd(descriptor.rawValue, name, 0, nil, nil)
            }
        guard code == BTRFS_UTIL_OK else {
            throw MachineStorageError(Errno(rawValue: errno), path, "create the subvolume")
        }
        let root = openat(descriptor.rawValue, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard root >= 0 else {
            let reason = Errno(rawValue: errno)
            delete()
            throw MachineStorageError(reason, path, "open the subvolume")
        }
        return FileDescriptor(rawValue: root)
    }

    /// First comes the content: else a crash could leave a subvolume that looks received and lacks some of it.
    ///
    /// The order of the rest matters, too: making a subvolume writable clears what it was received from, making it read-only
    /// doesn't. Both are on the disk when they return.
    func complete(_ root: FileDescriptor, as reference: SubvolumeReference) throws(MachineStorageError) {
        try writeOut(root)
        guard cbtrfsutil_set_received(root.rawValue, reference.identity.bytes, reference.transaction) == 0,
            btrfs_util_set_subvolume_read_only_fd(root.rawValue, true) == BTRFS_UTIL_OK
        else { throw MachineStorageError(Errno(rawValue: errno), path, "complete the subvolume") }
    }

    /// Has all of the subvolume written to its disk, and nothing else: a snapshot waits for what it is of, where a
    /// synchronisation waits for the whole file system, files among it that are soon removed.
    private func writeOut(_ root: FileDescriptor) throws(MachineStorageError) {
        let written = ".written-\(String(UInt64.random(in: .min ... .max), radix: 36))"
        let flags = BTRFS_UTIL_CREATE_SNAPSHOT_READ_ONLY
        guard
            btrfs_util_create_snapshot_fd2(root.rawValue, descriptor.rawValue, written, flags, nil, nil)
                == BTRFS_UTIL_OK,
            btrfs_util_delete_subvolume_fd(descriptor.rawValue, written, 0) == BTRFS_UTIL_OK
        else { throw MachineStorageError(Errno(rawValue: errno), path, "write the subvolume to its disk") }
    }

    /// Deletes what was made, as far as it can be.
    func delete() { _ = btrfs_util_delete_subvolume_fd(descriptor.rawValue, name, 0) }
}
