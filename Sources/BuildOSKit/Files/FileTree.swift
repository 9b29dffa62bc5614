import Glibc

/// Operations on files and directory trees that survive a crash at any instant and never follow a link
/// out of the tree they work on.
public enum FileTree {
    /// What stands between the name of a file and a process's number while that process writes it.
    static let temporaryMark = ".tmp-"

    /// Writes a file so that a reader sees the old content or the new, whole: temporary name, fsync, rename.
    ///
    /// - Parameter durably: whether it must outlive a crash of the machine. What doesn't is spared the wait for the disk.
    /// - Throws: ``FileError``; the old content is then untouched.
    public static func write(
        _ bytes: some Sequence<UInt8>,
        to path: FilePath,
        permissions: FilePermissions = [.ownerReadWrite, .groupRead, .otherRead],
        durably: Bool = true
    ) throws(FileError) {
        let temporary = FilePath("\(path.string)\(temporaryMark)\(getpid())")
        do {
            let file = try FileDescriptor.open(
                temporary,
                .writeOnly,
                options: [.create, .truncate, .noFollow, .closeOnExec],
                permissions: permissions
            )
            try file.closeAfter {
                try file.writeAll(bytes)
                guard fchmod(file.rawValue, permissions.rawValue) == 0,
                    !durably || fsync(file.rawValue) == 0
                else { throw Errno(rawValue: errno) }
            }
            guard rename(temporary.string, path.string) == 0 else { throw Errno(rawValue: errno) }
        } catch {
            unlink(temporary.string)
            throw FileError("write", path, error as? Errno ?? .ioError)
        }
        if durably { synchronize(path.removingLastComponent()) }
    }

    /// Writes a text file as ``write(_:to:permissions:durably:)`` does.
    public static func write(
        _ text: String,
        to path: FilePath,
        permissions: FilePermissions = [.ownerReadWrite, .groupRead, .otherRead]
    ) throws(FileError) {
        try write(text.utf8, to: path, permissions: permissions)
    }

    /// Reads a whole file of at most `limit` bytes.
    ///
    /// - Throws: ``FileError``, with `EFBIG` for a larger file.
    public static func read(_ path: FilePath, limit: Int = 1 << 20) throws(FileError) -> [UInt8] {
        do {
            let file = try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
            return try file.closeAfter {
                var content: [UInt8] = []
                var buffer = [UInt8](repeating: 0, count: 64 * 1024)
                while true {
                    let count = try buffer.withUnsafeMutableBytes { try file.read(into: $0) }
                    if count == 0 { return content }
                    content.append(contentsOf: buffer.prefix(count))
                    if content.count > limit { throw Errno.fileTooLarge }
                }
            }
        } catch {
            throw FileError("read", path, error as? Errno ?? .ioError)
        }
    }

    /// Reads a text file; what is not valid UTF-8 is repaired.
    public static func readText(_ path: FilePath, limit: Int = 1 << 20) throws(FileError) -> String {
        String(decoding: try read(path, limit: limit), as: UTF8.self)
    }

    /// Makes a directory and those above it; one that is there is left as it is.
    public static func makeDirectory(
        _ path: FilePath,
        permissions: FilePermissions = [.ownerReadWriteExecute, .groupReadExecute, .otherReadExecute]
    ) throws(FileError) {
        if mkdir(path.string, permissions.rawValue) == 0 { return }
        let reason = Errno(rawValue: errno)
        switch reason {
        case .fileExists where isDirectory(path): return
        case .noSuchFileOrDirectory where !path.removingLastComponent().isEmpty && path.lastComponent != nil:
            try makeDirectory(path.removingLastComponent(), permissions: permissions)
            guard mkdir(path.string, permissions.rawValue) == 0 || errno == EEXIST else {
                throw FileError("make the directory", path, Errno(rawValue: errno))
            }
        default: throw FileError("make the directory", path, reason)
        }
    }

    /// Whether there is a directory, or a link to one, at the path.
    public static func isDirectory(_ path: FilePath) -> Bool {
        var status = stat()
        return stat(path.string, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Whether there is anything at the path, a dangling link included.
    public static func exists(_ path: FilePath) -> Bool {
        var status = stat()
        return lstat(path.string, &status) == 0
    }

    /// The names in a directory, sorted, without `.` and `..`.
    public static func names(in directory: FilePath) throws(FileError) -> [String] {
        guard let stream = opendir(directory.string) else {
            throw FileError("list", directory, Errno(rawValue: errno))
        }
        defer { closedir(stream) }
        return names(in: stream).sorted()
    }

    /// Removes a file, a link, or a directory with all that is in it. What isn't there is not an error.
    public static func remove(_ path: FilePath) throws(FileError) {
        try remove(
            path.withPlatformString { Array(UnsafeBufferPointer(start: $0, count: strlen($0) + 1)) },
            AT_FDCWD,
            path
        )
    }

    /// Makes what was done to the entries of a directory durable, as far as the file system can.
    public static func synchronize(_ directory: FilePath) {
        let file = open(directory.isEmpty ? "." : directory.string, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard file >= 0 else { return }
        fsync(file)
        close(file)
    }

    /// Has the system begin to write a file's content to the disk, without waiting for it. A hint: whoever needs
    /// the file to be durable calls fsync(2) later, and waits less.
    public static func beginWriting(_ file: FilePath) {
        let descriptor = open(file.string, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        // Linux writes out what it is told it may drop (mm/fadvise.c); what is being written isn't dropped.
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
        close(descriptor)
    }

    /// Names are bytes here: what somebody else put there need not be text.
    private static func remove(_ name: [CChar], _ parent: Int32, _ shown: FilePath) throws(FileError) {
        if unlinkat(parent, name, 0) == 0 || errno == ENOENT { return }
        let reason = Errno(rawValue: errno)
        let file = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard file >= 0 else { throw FileError("remove", shown, reason) }
        guard let stream = fdopendir(file) else {
            close(file)
            throw FileError("remove", shown, Errno(rawValue: errno))
        }
        defer { closedir(stream) }
        for child in rawNames(in: stream) {
            let text = String(decoding: child.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
            try remove(child, dirfd(stream), shown.appending(text))
        }
        guard unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT else {
            throw FileError("remove", shown, Errno(rawValue: errno))
        }
    }

    private static func names(in stream: OpaquePointer) -> [String] {
        rawNames(in: stream).map { name in
            String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }

    /// With a zero at the end of each.
    private static func rawNames(in stream: OpaquePointer) -> [[CChar]] {
        var names: [[CChar]] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                $0.prefix { $0 != 0 }.map { CChar(bitPattern: $0) } + [0]
            }
            let dot = CChar(UInt8(ascii: "."))
            if name != [dot, 0] && name != [dot, dot, 0] { names.append(name) }
        }
        return names
    }
}
