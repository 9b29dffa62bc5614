/// What an initramfs holds under one name.
public struct CPIOMember: Sendable, Hashable {
    /// What it is.
    public enum Content: Sendable, Hashable {
        case directory
        case file([UInt8])
        /// The content of a file on this machine, copied when the archive is written.
        case fileAt(FilePath)
        case characterDevice(major: UInt32, minor: UInt32)
    }

    /// The path without a leading `/`.
    public let name: String
    /// Permission bits.
    public let permissions: UInt32
    /// What it is.
    public let content: Content

    /// Creates a member.
    public init(_ name: String, permissions: UInt32, _ content: Content) {
        self.name = name
        self.permissions = permissions
        self.content = content
    }
}

/// Writes cpio archives in the `newc` format, as the kernel unpacks them (kernel documentation,
/// "initramfs buffer format"). Owner, times and inode numbers depend on nothing but the members, so that the same
/// members make the same bytes (BOOT-10).
public enum CPIOArchive {
    /// The end mark; the kernel goes on with an archive that follows it.
    public static let trailer = header(name: "TRAILER!!!", mode: 0, inode: 0, size: 0, links: 1)

    /// The directories above the members that are not members themselves are the caller's to name. The order given
    /// is the order written; the kernel needs a directory before what is in it.
    ///
    /// - Throws: ``FileError``
    public static func write(_ members: [CPIOMember], to output: FileDescriptor, at path: FilePath) throws(FileError) {
        for (index, member) in members.enumerated() {
            try write(member, inode: UInt32(index + 1), to: output, at: path)
        }
        try write(trailer, to: output, at: path)
    }

    private static func write(
        _ member: CPIOMember,
        inode: UInt32,
        to output: FileDescriptor,
        at path: FilePath
    ) throws(FileError) {
        func head(_ kind: UInt32, size: UInt32 = 0, links: UInt32 = 1, device: (UInt32, UInt32) = (0, 0)) -> [UInt8] {
            header(
                name: member.name,
                mode: kind | member.permissions,
                inode: inode,
                size: size,
                links: links,
                device: device
            )
        }
        switch member.content {
        case .directory: try write(head(0o040_000, links: 2), to: output, at: path)
        case .characterDevice(let major, let minor):
            try write(head(0o020_000, device: (major, minor)), to: output, at: path)
        case .file(let bytes):
            try write(head(0o100_000, size: UInt32(bytes.count)) + padded(bytes), to: output, at: path)
        case .fileAt(let source):
            try copy(source, to: output, at: path) { head(0o100_000, size: $0) }
        }
    }

    /// Copies a file in pieces, after a header made for its size.
    private static func copy(
        _ source: FilePath,
        to output: FileDescriptor,
        at path: FilePath,
        header: (UInt32) -> [UInt8]
    ) throws(FileError) {
        do {
            let input = try FileDescriptor.open(source, .readOnly, options: .closeOnExec)
            try input.closeAfter {
                let size = try input.seek(offset: 0, from: .end)
                try input.seek(offset: 0, from: .start)
                guard let size32 = UInt32(exactly: size) else { throw Errno.fileTooLarge }
                try output.writeAll(header(size32))
                var buffer = [UInt8](repeating: 0, count: 1 << 20)
                var left = size
                while left > 0 {
                    let count = try buffer.withUnsafeMutableBytes { try input.read(into: $0) }
                    guard count > 0, Int64(count) <= left else { throw Errno.ioError }
                    try output.writeAll(buffer.prefix(count))
                    left -= Int64(count)
                }
                try output.writeAll([UInt8](repeating: 0, count: padding(Int(size))))
            }
        } catch {
            throw FileError("copy \(source) into", path, error as? Errno ?? .ioError)
        }
    }

    private static func write(_ bytes: [UInt8], to output: FileDescriptor, at path: FilePath) throws(FileError) {
        do { try output.writeAll(bytes) } catch { throw FileError("write", path, error as? Errno ?? .ioError) }
    }

    private static func padding(_ count: Int) -> Int { (4 - count % 4) % 4 }

    private static func padded(_ bytes: [UInt8]) -> [UInt8] {
        bytes + [UInt8](repeating: 0, count: padding(bytes.count))
    }

    static func header(
        name: String,
        mode: UInt32,
        inode: UInt32,
        size: UInt32,
        links: UInt32,
        device: (UInt32, UInt32) = (0, 0)
    ) -> [UInt8] {
        let nameBytes = Array(name.utf8) + [0]
        let fields: [UInt32] = [
            inode, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, UInt32(nameBytes.count), 0,
        ]
        var bytes = Array("070701".utf8)
        for field in fields {
            let digits = String(field, radix: 16, uppercase: true)
            bytes += Array(String(repeating: "0", count: 8 - digits.utf8.count).utf8) + Array(digits.utf8)
        }
        return padded(bytes + nameBytes)
    }
}
