import BuildOSKit
import Glibc

/// What a request sends, read piece by piece on the loop's thread, hence not Sendable.
final class RequestBody {
    /// Bytes in all.
    let byteCount: Int64
    private let bytes: [UInt8]
    private let file: FileDescriptor?
    private var offset: Int64 = 0

    /// Opens a file, if it is one.
    ///
    /// - Throws: `Errno`; `EINVAL` for what is no regular file.
    init(_ content: FetchBody.Content) throws {
        switch content {
        case .bytes(let bytes):
            self.bytes = bytes
            file = nil
            byteCount = Int64(bytes.count)
        case .file(let path):
            let opened = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .nonBlocking])
            var status = stat()
            guard fstat(opened.rawValue, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
                try? opened.close()
                throw Errno.invalidArgument
            }
            bytes = []
            file = opened
            byteCount = Int64(status.st_size)
        }
    }

    deinit { try? file?.close() }

    /// Copies the next bytes; 0 at the end.
    ///
    /// - Throws: `Errno`; `EIO` if a file has become shorter.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let wanted = Int(min(Int64(buffer.count), byteCount - offset))
        guard wanted > 0 else { return 0 }
        let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted])
        let count: Int
        if let file {
            count = try file.read(fromAbsoluteOffset: offset, into: piece)
            guard count > 0 else { throw Errno.ioError }
        } else {
            let start = Int(offset)
            piece.copyBytes(from: bytes[start..<(start + wanted)])
            count = wanted
        }
        offset += Int64(count)
        return count
    }

    /// Goes on from there; whether there is such a place.
    func seek(to position: Int64) -> Bool {
        guard (0...byteCount).contains(position) else { return false }
        offset = position
        return true
    }
}
