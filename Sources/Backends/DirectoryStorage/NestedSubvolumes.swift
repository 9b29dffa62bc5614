import BuildOSKit
import Glibc

/// Finds whether there are subvolumes in a tree.
enum NestedSubvolumes {
    /// Whether a directory, or any beneath it, has subvolumes. What can't be opened can't be deleted either, and is passed
    /// over.
    static func exist(in directory: Int32, depth: Int = 0) -> Bool {
        if SubvolumeTable.names(in: directory).count > 1 { return true }
        let opened = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard opened >= 0, depth <= DirectoryStream.maximalDepth else { return false }
        guard let stream = fdopendir(opened) else {
            close(opened)
            return false
        }
        defer { closedir(stream) }
        while let entry = readdir(stream) {
            let bytes = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            guard entry.pointee.d_type == DT_DIR || entry.pointee.d_type == DT_UNKNOWN, let name = EntryName(bytes)
            else {
                continue
            }
            let child = openat(directory, name.terminated, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            guard child >= 0 else { continue }
            defer { close(child) }
            if exist(in: child, depth: depth + 1) { return true }
        }
        return false
    }
}
