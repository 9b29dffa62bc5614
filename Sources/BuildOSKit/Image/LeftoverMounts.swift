import Glibc

/// File systems that a killed mmdebstrap leaves mounted in its tree (`/proc`, `/sys`, `/dev/pts`): while they are there
/// the tree can't be removed, and a removal must not go into them.
enum LeftoverMounts {
    /// Unmounts everything below a directory, the innermost first.
    ///
    /// - Throws: ``FileError`` for a mount that doesn't go.
    static func release(below directory: FilePath) throws(FileError) {
        guard let resolved = realpath(directory.string, nil) else { return }
        defer { free(resolved) }
        let table = try FileTree.readText("/proc/self/mounts", limit: 16 << 20)
        for mount in mountPoints(below: String(cString: resolved), in: table) {
            guard umount2(mount, Int32(MNT_DETACH)) == 0 || errno == EINVAL else {
                throw FileError("unmount", FilePath(mount), Errno(rawValue: errno))
            }
        }
    }

    /// The mount points below a directory, in the order in which they can be unmounted; the text is as in fstab(5).
    static func mountPoints(below directory: String, in table: String) -> [String] {
        table.split(separator: "\n").compactMap { line -> String? in
            let fields = line.split(separator: " ")
            guard fields.count >= 2 else { return nil }
            let point = unescaped(fields[1])
            return point.hasPrefix(directory + "/") ? point : nil
        }
        .reversed()
    }

    /// Blanks, tabs, line breaks and backslashes are written as three octal digits.
    private static func unescaped(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), rest.count >= 3,
                let value = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8)
            {
                bytes.append(value)
                rest.removeFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
