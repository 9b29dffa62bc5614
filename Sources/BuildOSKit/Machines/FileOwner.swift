import Glibc

/// Who a machine's files are given to (MACH-5).
public struct FileOwner: Sendable, Hashable {
    /// The user's number.
    public let user: UInt32
    /// The group's number.
    public let group: UInt32

    /// Creates an owner.
    public init(user: UInt32, group: UInt32) {
        self.user = user
        self.group = group
    }

    /// The user `build` and its group; `nil` on a machine that has no such user.
    public static func build() -> FileOwner? { named("build") }

    /// A user with its group; `nil` if there is no such user.
    public static func named(_ name: String) -> FileOwner? {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16 << 10)
        guard getpwnam_r(name, &entry, &buffer, buffer.count, &found) == 0, found != nil else { return nil }
        return FileOwner(user: entry.pw_uid, group: entry.pw_gid)
    }

    /// Gives a directory and all that is in it to this owner. Links are given, not followed.
    ///
    /// - Throws: ``FileError``
    func own(_ directory: FilePath) throws(FileError) {
        try own(directory.string, at: AT_FDCWD, directory)
    }

    private func own(_ name: String, at parent: Int32, _ shown: FilePath) throws(FileError) {
        guard fchownat(parent, name, user, group, AT_SYMLINK_NOFOLLOW) == 0 else {
            throw FileError("change the owner", shown, Errno(rawValue: errno))
        }
        let file = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else {
            let reason = Errno(rawValue: errno)
            // A file, or a link.
            if reason == .notDirectory || reason == .tooManySymbolicLinkLevels { return }
            throw FileError("change the owner", shown, reason)
        }
        guard let stream = fdopendir(file) else {
            close(file)
            throw FileError("change the owner", shown, Errno(rawValue: errno))
        }
        defer { closedir(stream) }
        while let entry = readdir(stream) {
            let child = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            guard child != Array(".".utf8), child != Array("..".utf8) else { continue }
            let childName = String(decoding: child, as: UTF8.self)
            try own(childName, at: dirfd(stream), shown.appending(childName))
        }
    }
}
