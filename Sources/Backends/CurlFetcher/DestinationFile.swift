import BuildOSKit
import Glibc

/// The file that a transfer writes; removed again unless it was kept. Used by one thread alone.
final class DestinationFile {
    let path: FilePath
    /// Bytes it has, those not yet written to it included.
    private(set) var byteCount: Int64 = 0
    private var descriptor: FileDescriptor?
    private var isOurs = false
    /// libcurl hands out 16 KiB at a time; the system is called once for many of these.
    private var pending: [UInt8] = []
    private static let writeSize = 512 << 10

    init(_ path: FilePath) { self.path = path }

    deinit { discard() }

    /// Removes what is at a path, if it is a regular file.
    static func remove(_ path: FilePath) {
        let file = DestinationFile(path)
        file.claim()
        file.discard()
    }

    /// Creates it, or cuts it to its first `kept` bytes, unless that is done.
    ///
    /// - Throws: `Errno`; `EINVAL` if there is something else than a regular file, or a shorter one.
    func open(keeping kept: Int64 = 0) throws {
        guard descriptor == nil else { return }
        let opened = try FileDescriptor.open(
            path,
            .writeOnly,
            options: [.create, .noFollow, .closeOnExec, .nonBlocking],
            permissions: [.ownerReadWrite, .groupRead, .otherRead]
        )
        descriptor = opened
        var status = stat()
        guard fstat(opened.rawValue, &status) == 0 else { throw Errno(rawValue: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw Errno.invalidArgument }
        isOurs = true
        guard Int64(status.st_size) >= kept else { throw Errno.invalidArgument }
        guard ftruncate(opened.rawValue, off_t(kept)) == 0 else { throw Errno(rawValue: errno) }
        try opened.seek(offset: kept, from: .start)
        byteCount = kept
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        try open()
        pending.append(contentsOf: bytes)
        byteCount += Int64(bytes.count)
        if pending.count >= Self.writeSize { try flush() }
    }

    private func flush() throws {
        guard !pending.isEmpty else { return }
        try descriptor?.writeAll(pending)
        pending.removeAll(keepingCapacity: true)
    }

    /// Writes what is pending and closes it, to stay. What close(2) reports, a network file system's lack of room for one, is thrown.
    func keep() throws {
        try open()
        try flush()
        let closing = descriptor
        descriptor = nil
        try closing?.close()
        isOurs = false
    }

    /// Closes and removes it, or what an earlier fetch left under its name.
    func discard() {
        if let descriptor { try? descriptor.close() }
        descriptor = nil
        if isOurs { unlink(path.string) }
        isOurs = false
    }

    /// Makes a file that was there before the transfer go with ``discard()``, though nothing was written to it.
    func claim() {
        var status = stat()
        if lstat(path.string, &status) == 0, status.st_mode & S_IFMT == S_IFREG { isOurs = true }
    }
}
