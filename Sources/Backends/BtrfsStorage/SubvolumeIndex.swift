import BuildOSKit
import Glibc

internal import CBtrfsUtil

/// Finds subvolumes by their identity, in the file system's own index: it takes no longer with thousands of them.
struct SubvolumeIndex {
    private let directory: FileDescriptor

    /// Creates an index of the file system that holds an open directory.
    init(_ directory: FileDescriptor) { self.directory = directory }

    /// Opens the parent of a stream: a read-only subvolume that was received from the one that the stream names, or is it.
    ///
    /// A subvolume that was made writable has lost the identity it was received with, both by ``BtrfsStorage`` and by
    /// btrfs-progs; one that wasn't received must not have been changed since.
    ///
    /// - Parameter path: what errors are about.
    func parent(
        _ reference: SubvolumeReference,
        at path: FilePath
    ) throws(MachineStorageError) -> FileDescriptor {
        var changed = false
        for received in [true, false] {
            for id in try find(reference.identity, received: received, path) {
                let opened = cbtrfsutil_open_subvolume(directory.rawValue, id)
                guard opened >= 0 else { continue }
                let root = FileDescriptor(rawValue: opened)
                var information = btrfs_util_subvolume_info()
                var isReadOnly = false
                if btrfs_util_subvolume_info_fd(opened, 0, &information) == BTRFS_UTIL_OK,
                    btrfs_util_get_subvolume_read_only_fd(opened, &isReadOnly) == BTRFS_UTIL_OK, isReadOnly,
                    (received ? information.stransid : information.ctransid) == reference.transaction
                {
                    return root
                }
                changed = true
                try? root.close()
            }
        }
        throw MachineStorageError(
            .noParent,
            path: path,
            cause: "the stream builds on the subvolume \(reference.identity), which "
                + (changed ? "was changed here" : "is not here")
        )
    }

    private func find(
        _ identity: VolumeUUID,
        received: Bool,
        _ path: FilePath
    ) throws(MachineStorageError) -> [UInt64] {
        var ids = [UInt64](repeating: 0, count: 64)
        let count = cbtrfsutil_find(directory.rawValue, identity.bytes, received ? 1 : 0, &ids, Int32(ids.count))
        guard count >= 0 else {
            throw MachineStorageError(Errno(rawValue: errno), path, "look for the stream's parent")
        }
        return Array(ids.prefix(Int(count)))
    }
}
