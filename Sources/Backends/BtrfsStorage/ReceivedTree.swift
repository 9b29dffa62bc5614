import BuildOSKit
import Glibc

internal import CBtrfsUtil

/// The subvolume that a stream is unpacked into. Its operations follow no link and never leave it, whatever the stream put
/// there before: directories are opened by openat2(2) beneath its root, what lies in them is named by its last component,
/// and nothing but regular files is ever opened.
final class ReceivedTree {
    private let root: FileDescriptor
    private var directory: (path: [CChar], descriptor: FileDescriptor)?
    private var file: (path: StreamPath, descriptor: FileDescriptor)?

    /// Creates a tree, which takes the descriptor of its root over.
    init(root: FileDescriptor) { self.root = root }

    deinit {
        forget()
        try? root.close()
    }

    /// The subvolume's root directory.
    var rootDescriptor: Int32 { root.rawValue }

    /// Closes what is kept open because the next command may need it.
    func forget() {
        try? directory?.descriptor.close()
        try? file?.descriptor.close()
        (directory, file) = (nil, nil)
    }

    /// Runs a call of the system with a directory and a name in it.
    ///
    /// - Parameter call: returns a negative number and sets `errno` if it fails.
    @discardableResult
    func call(_ path: StreamPath, _ call: (Int32, [CChar]) -> Int32) throws(Errno) -> Int32 {
        guard !path.isRoot else { throw .invalidArgument }
        let result = call(try open(directory: path.parent), path.leaf)
        guard result >= 0 else { throw Errno(rawValue: errno) }
        return result
    }

    /// Runs a call of the system with two directories, and a name in each.
    func call(_ path: StreamPath, _ other: StreamPath, _ call: (Int32, [CChar], Int32, [CChar]) -> Int32) throws(Errno)
    {
        guard !path.isRoot, !other.isRoot else { throw .invalidArgument }
        let descriptor = cbtrfsutil_open_beneath(root.rawValue, Self.orDot(other.parent), O_DIRECTORY)
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        defer { close(descriptor) }
        guard call(try open(directory: path.parent), path.leaf, descriptor, other.leaf) >= 0 else {
            throw Errno(rawValue: errno)
        }
    }

    /// Runs a call of the system that names a file by its path, and follows no link at its end.
    func callByPath(_ path: StreamPath, _ call: ([CChar]) -> Int32) throws(Errno) {
        let directory = path.isRoot ? root.rawValue : try open(directory: path.parent)
        let prefix = "/proc/self/fd/\(directory)/".utf8.map { CChar(bitPattern: $0) }
        guard call(prefix + (path.isRoot ? Self.orDot(path.leaf) : path.leaf)) >= 0 else {
            throw Errno(rawValue: errno)
        }
    }

    /// A regular file, open to be written until another one is.
    func writable(_ path: StreamPath) throws(Errno) -> Int32 {
        if let file, file.path == path { return file.descriptor.rawValue }
        try? file?.descriptor.close()
        file = nil
        let opened = try Self.open(path, beneath: root.rawValue, O_RDWR)
        file = (path, opened)
        return opened.rawValue
    }

    /// A regular file beneath a directory. Devices and pipes are not even opened.
    static func open(_ path: StreamPath, beneath root: Int32, _ mode: Int32) throws(Errno) -> FileDescriptor {
        let found = cbtrfsutil_open_beneath(root, path.whole, O_NOFOLLOW)
        guard found >= 0 else { throw Errno(rawValue: errno) }
        defer { close(found) }
        var status = stat()
        guard fstat(found, &status) == 0 else { throw Errno(rawValue: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .invalidArgument }
        let opened = Glibc.open("/proc/self/fd/\(found)", mode | O_CLOEXEC)
        guard opened >= 0 else { throw Errno(rawValue: errno) }
        return FileDescriptor(rawValue: opened)
    }

    private func open(directory path: [CChar]) throws(Errno) -> Int32 {
        if let directory, directory.path == path { return directory.descriptor.rawValue }
        try? directory?.descriptor.close()
        directory = nil
        let descriptor = cbtrfsutil_open_beneath(root.rawValue, Self.orDot(path), O_DIRECTORY)
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        directory = (path, FileDescriptor(rawValue: descriptor))
        return descriptor
    }

    private static func orDot(_ path: [CChar]) -> [CChar] { path.count > 1 ? path : [CChar(UInt8(ascii: ".")), 0] }
}
