import Glibc

internal import CFiles

/// What an entry has besides its content.
struct EntryMetadata: Hashable {
    /// The permissions and the three bits above them.
    var mode: UInt32
    var user: UInt32
    var group: UInt32
    /// Time of the last change of its content.
    var seconds: Int64
    var nanoseconds: UInt32

    /// Takes it from what stat(2) tells.
    init(_ status: stat) {
        mode = UInt32(status.st_mode) & 0o7777
        user = UInt32(status.st_uid)
        group = UInt32(status.st_gid)
        seconds = Int64(status.st_mtim.tv_sec)
        nanoseconds = UInt32(status.st_mtim.tv_nsec)
    }

    init(mode: UInt32, user: UInt32, group: UInt32, seconds: Int64, nanoseconds: UInt32) {
        self.mode = mode
        self.user = user
        self.group = group
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    /// Gives it to an open file or directory, with its extended attributes in between: a change of owner clears some of
    /// these. Owners are root's to give; whoever else unpacks a tree owns it.
    func apply(to file: Int32, _ attributes: [ExtendedAttribute]) throws(Errno) {
        if geteuid() == 0, fchown(file, user, group) != 0 { throw Errno(rawValue: errno) }
        for attribute in attributes { try attribute.set(on: file) }
        guard fchmod(file, mode) == 0, futimens(file, times) == 0 else { throw Errno(rawValue: errno) }
    }

    /// Gives it to what can't be opened without harm: links, which have no mode, and nodes.
    func apply(to name: [CChar], in directory: Int32, isLink: Bool) throws(Errno) {
        if geteuid() == 0, fchownat(directory, name, user, group, AT_SYMLINK_NOFOLLOW) != 0 {
            throw Errno(rawValue: errno)
        }
        if !isLink, fchmodat(directory, name, mode, AT_SYMLINK_NOFOLLOW) != 0 { throw Errno(rawValue: errno) }
        guard utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW) == 0 else { throw Errno(rawValue: errno) }
    }

    private var times: [timespec] {
        let time = timespec(tv_sec: Int(seconds), tv_nsec: Int(nanoseconds))
        return [time, time]
    }
}

/// An extended attribute of a file or directory (xattr(7)).
struct ExtendedAttribute: Hashable {
    /// Bytes of all attributes of an entry at most.
    static let limit = 64 << 10

    let name: [CChar]
    let value: [UInt8]

    /// `nil` unless the name is of a kind that is carried: a user's own, access lists, a program's capabilities. The rest
    /// belongs to this machine's policy.
    init?(name: some Collection<UInt8>, value: [UInt8]) {
        let text = String(decoding: name, as: UTF8.self)
        guard (1...255).contains(name.count), !name.contains(0), value.count <= Self.limit,
            text.hasPrefix("user.") || text.hasPrefix("system.posix_acl_") || text == "security.capability"
        else { return nil }
        self.name = name.map { CChar(bitPattern: $0) } + [0]
        self.value = value
    }

    /// The name's bytes.
    var nameBytes: [UInt8] { name.dropLast().map { UInt8(bitPattern: $0) } }

    /// The attributes of an open file or directory that are carried; none where the file system knows none.
    static func all(of file: Int32) throws(Errno) -> [ExtendedAttribute] {
        let size = flistxattr(file, nil, 0)
        guard size > 0 else { return [] }
        var names = [CChar](repeating: 0, count: min(size, limit))
        let count = flistxattr(file, &names, names.count)
        guard count >= 0 else { throw Errno(rawValue: errno) }
        var found: [ExtendedAttribute] = []
        for name in names.prefix(count).split(separator: 0) {
            let bytes = name.map { UInt8(bitPattern: $0) }
            guard ExtendedAttribute(name: bytes, value: []) != nil else { continue }
            var value = [UInt8](repeating: 0, count: limit)
            let length = fgetxattr(file, Array(name) + [0], &value, value.count)
            guard length >= 0 else { throw Errno(rawValue: errno) }
            if let attribute = ExtendedAttribute(name: bytes, value: Array(value.prefix(length))) {
                found.append(attribute)
            }
        }
        return found
    }

    fileprivate func set(on file: Int32) throws(Errno) {
        // Capabilities are root's to give.
        if geteuid() != 0, nameBytes.starts(with: "security.".utf8) { return }
        guard fsetxattr(file, name, value, value.count, 0) == 0 else { throw Errno(rawValue: errno) }
    }
}
