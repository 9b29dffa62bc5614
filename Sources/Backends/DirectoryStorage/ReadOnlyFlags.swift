import BuildOSKit
import Glibc

internal import CFiles

/// Keeps a tree from being written as far as a plain file system can: files and directories get the immutable flag
/// (chattr(1)), which holds even against root until it is taken off. That takes root, and a file system that has the flag,
/// as ext4, xfs, btrfs and tmpfs do; elsewhere read-only is a word, which only this storage heeds.
enum ReadOnlyFlags {
    /// Sets the flags. Where it can't be done, it isn't.
    static func set(_ root: Int32) {
        guard geteuid() == 0 else { return }
        apply(root, true, depth: 0)
    }

    /// Takes the flags off.
    static func clear(_ root: Int32) {
        guard geteuid() == 0 else { return }
        apply(root, false, depth: 0)
    }

    private static func apply(_ directory: Int32, _ isOn: Bool, depth: Int) {
        // Where the first can't be flagged, none can, and a tree is not searched for nothing.
        guard cfiles_set_immutable(directory, isOn ? 1 : 0) == 0,
            depth <= DirectoryStream.maximalDepth
        else { return }
        let opened = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard opened >= 0 else { return }
        guard let stream = fdopendir(opened) else {
            close(opened)
            return
        }
        defer { closedir(stream) }
        let foreign = SubvolumeTable.names(in: directory)
        while let entry = readdir(stream) {
            let bytes = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            guard let name = EntryName(bytes), !foreign.contains(name) else { continue }
            var status = stat()
            guard fstatat(directory, name.terminated, &status, AT_SYMLINK_NOFOLLOW) == 0 else { continue }
            let kind = status.st_mode & S_IFMT
            guard kind == S_IFDIR || kind == S_IFREG else { continue }
            let child = openat(directory, name.terminated, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
            guard child >= 0 else { continue }
            defer { close(child) }
            if kind == S_IFDIR {
                apply(child, isOn, depth: depth + 1)
            } else {
                _ = cfiles_set_immutable(child, isOn ? 1 : 0)
            }
        }
    }
}
