import BuildOSKit
import Glibc

/// A directory tree as storages must carry it, a change of it, and how two trees are compared.
enum SampleTree {
    /// Bytes of the file `large`.
    static let largeSize = 1_500_000

    /// Fills a directory: files empty, small, large, sparse and executable, names that trip up who is careless, hard and
    /// symbolic links, times in the past.
    static func make(in root: FilePath) throws {
        try FileTree.makeDirectory(root.appending("directory/deeper/empty"))
        try FileTree.write("small\n", to: root.appending("small"))
        try FileTree.write("", to: root.appending("directory/nothing"))
        try FileTree.write(bytes(largeSize, seed: 1), to: root.appending("directory/large"))
        for name in ["a b", "ünïcode", "new\nline", "-x", "..dots", "*?'\"\\$(x)"] {
            try FileTree.write(name, to: root.appending("directory/deeper").appending(name))
        }
        try FileTree.write(
            "#!/bin/sh\n",
            to: root.appending("program"),
            permissions: [.ownerReadWriteExecute, .groupReadExecute]
        )
        try call(root, symlink("directory/large", root.appending("link").string))
        try call(root, symlink("/nowhere/at all", root.appending("directory/dangling").string))
        try call(root, link(root.appending("small").string, root.appending("directory/hard").string))
        let sparse = try FileDescriptor.open(
            root.appending("sparse"),
            .writeOnly,
            options: [.create, .closeOnExec],
            permissions: [.ownerReadWrite]
        )
        try sparse.closeAfter {
            try sparse.resize(to: 64 << 20)
            _ = try sparse.writeAll(toAbsoluteOffset: 32 << 20, bytes(4096, seed: 2))
        }
        if geteuid() == 0 { try call(root, lchown(root.appending("program").string, 1234, 5678)) }
        try call(root, chmod(root.appending("directory/deeper").string, 0o750))
        let past = [timespec(tv_sec: 1_000_000_000, tv_nsec: 123_456_789), timespec(tv_sec: 1, tv_nsec: 5)]
        try call(root, utimensat(AT_FDCWD, root.appending("small").string, past, AT_SYMLINK_NOFOLLOW))
        try call(root, utimensat(AT_FDCWD, root.appending("directory/deeper").string, past, AT_SYMLINK_NOFOLLOW))
    }

    /// Changes a little in everything that ``make(in:)`` made.
    static func change(in root: FilePath) throws {
        let large = try FileDescriptor.open(root.appending("directory/large"), .writeOnly, options: .closeOnExec)
        try large.closeAfter { _ = try large.writeAll(toAbsoluteOffset: 700_000, bytes(5000, seed: 3)) }
        let sparse = try FileDescriptor.open(root.appending("sparse"), .writeOnly, options: .closeOnExec)
        try sparse.closeAfter { try sparse.resize(to: 48 << 20) }
        try FileTree.write("replaced\n", to: root.appending("program"))
        try FileTree.write("new\n", to: root.appending("directory/deeper/new"))
        try FileTree.remove(root.appending("directory/deeper/a b"))
        try FileTree.remove(root.appending("directory/dangling"))
        try FileTree.makeDirectory(root.appending("directory/dangling"))
        try call(root, rename(root.appending("small").string, root.appending("directory/moved").string))
        try call(root, rename(root.appending("directory/deeper").string, root.appending("deeper").string))
        try FileTree.remove(root.appending("link"))
        try call(root, symlink("elsewhere", root.appending("link").string))
        try call(root, chmod(root.appending("directory/large").string, 0o400))
    }

    /// What a tree holds, an entry a line, in an order of its own: two trees are alike if these are.
    static func listing(of root: FilePath) throws -> [String] {
        var identities: [UInt64: String] = [:]
        return try entries(root, "", &identities)
    }

    private static func entries(
        _ root: FilePath,
        _ path: String,
        _ identities: inout [UInt64: String]
    ) throws -> [String] {
        let place = path.isEmpty ? root : root.appending(path)
        var status = stat()
        try call(place, lstat(place.string, &status))
        let mode = String(status.st_mode, radix: 8)
        var line = "\(path): \(mode) \(status.st_uid):\(status.st_gid)"
        switch status.st_mode & S_IFMT {
        case S_IFDIR:
            line += " \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
            return try [line]
                + FileTree.names(in: place).flatMap {
                    try entries(root, path.isEmpty ? $0 : "\(path)/\($0)", &identities)
                }
        case S_IFLNK:
            var target = [CChar](repeating: 0, count: 4096)
            let count = readlink(place.string, &target, target.count)
            line += " -> \(target.prefix(max(0, count)).map { String(UInt8(bitPattern: $0)) }.joined(separator: "."))"
        default:
            let same = identities[UInt64(status.st_ino), default: path]
            identities[UInt64(status.st_ino)] = same
            let isSparse = status.st_size > 1 << 20 && Int64(status.st_blocks) * 512 < Int64(status.st_size) / 2
            line += " \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec) \(status.st_size) is \(same)"
            line += isSparse ? " sparse" : ""
            if status.st_mode & S_IFMT == S_IFREG { line += " \(try checksum(place))" }
        }
        return [line]
    }

    /// FNV-1a (RFC 9923) over words; of a hole it costs no more than its reading.
    private static func checksum(_ path: FilePath) throws -> UInt64 {
        let file = try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
        return try file.closeAfter {
            var value: UInt64 = 0xcbf2_9ce4_8422_2325
            var buffer = [UInt64](repeating: 0, count: 32 << 10)
            while true {
                let count = try buffer.withUnsafeMutableBytes { try file.read(into: $0) }
                if count == 0 { return value }
                buffer.withUnsafeMutableBytes { bytes in
                    for index in count..<((count + 7) & ~7) { bytes[index] = 0 }
                }
                for word in buffer.prefix((count + 7) / 8) { value = (value ^ word) &* 0x0100_0000_01b3 }
            }
        }
    }

    /// Bytes that don't compress, the same for the same seed (SplitMix64).
    static func bytes(_ count: Int, seed: UInt64) -> [UInt8] {
        var generator = Sequence64(state: seed)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count { withUnsafeBytes(of: generator.next()) { bytes.append(contentsOf: $0) } }
        return Array(bytes.prefix(count))
    }

    private static func call(_ path: FilePath, _ result: Int32) throws {
        guard result == 0 else { throw FileError("prepare", path, Errno(rawValue: errno)) }
    }
}

/// A sequence of numbers that looks random and is the same for the same beginning (SplitMix64).
struct Sequence64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
