import BuildOSKit
import Glibc

/// Makes a directory tree durable.
enum DurableTree {
    /// Returns when all files and directories of a tree are on the disk.
    static func synchronize(_ directory: FilePath) throws(FileError) {
        var files: [FilePath] = []
        var directories: [FilePath] = []
        try collect(directory, &files, &directories)
        for file in files { try withDescriptor(file) { fsync($0) } }
        for directory in directories.reversed() { try withDescriptor(directory) { fsync($0) } }
    }

    private static func collect(
        _ directory: FilePath,
        _ files: inout [FilePath],
        _ directories: inout [FilePath]
    ) throws(FileError) {
        directories.append(directory)
        for name in try FileTree.names(in: directory) {
            let path = directory.appending(name)
            var status = stat()
            guard lstat(path.string, &status) == 0 else {
                throw FileError("read", path, Errno(rawValue: errno))
            }
            switch status.st_mode & S_IFMT {
            case S_IFDIR: try collect(path, &files, &directories)
            case S_IFREG: files.append(path)
            default: break
            }
        }
    }

    private static func withDescriptor(_ path: FilePath, _ call: (Int32) -> Int32) throws(FileError) {
        let file = open(path.string, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard file >= 0 else { throw FileError("open", path, Errno(rawValue: errno)) }
        defer { close(file) }
        guard call(file) == 0 else { throw FileError("write to the disk", path, Errno(rawValue: errno)) }
    }
}
