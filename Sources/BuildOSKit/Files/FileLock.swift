import Glibc

/// A lock between processes on a file (flock(2)). It goes with the last reference to it, or with the process, however
/// that ends.
public final class FileLock: Sendable {
    private let file: FileDescriptor

    /// How a lock is held.
    public enum Mode: Sendable, Hashable {
        /// By nobody else.
        case exclusive
        /// By others too that want no more.
        case shared
    }

    /// Takes a lock if nobody is in the way. The file is made if it isn't there, and stays.
    ///
    /// - Returns: `nil` if somebody holds it.
    /// - Throws: ``FileError``
    public static func take(_ path: FilePath, _ mode: Mode = .exclusive) throws(FileError) -> FileLock? {
        let file: FileDescriptor
        do {
            file = try FileDescriptor.open(
                path,
                .readWrite,
                options: [.create, .noFollow, .closeOnExec],
                permissions: [.ownerReadWrite, .groupReadWrite, .otherRead]
            )
        } catch {
            throw FileError("lock", path, error as? Errno ?? .ioError)
        }
        guard flock(file.rawValue, (mode == .exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0 else {
            let reason = Errno(rawValue: errno)
            try? file.close()
            if reason == .wouldBlock { return nil }
            throw FileError("lock", path, reason)
        }
        return FileLock(file)
    }

    private init(_ file: FileDescriptor) { self.file = file }

    deinit {
        // A child of another thread that is not yet at its exec(2) has the descriptor too, and would hold the lock on.
        _ = flock(file.rawValue, LOCK_UN)
        try? file.close()
    }
}
