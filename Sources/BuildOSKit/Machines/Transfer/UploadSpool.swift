import Glibc

/// What has arrived of a stream, in a file, until all has: an interrupted upload goes on from it.
///
/// The file holds nothing but whole chunks, one after the other. Their digests are read from them, never from notes about
/// them: what a power cut left out is sent again. Belongs to one thread.
final class UploadSpool {
    private let file: FileDescriptor
    private let path: FilePath
    private let chunkSize: Int
    /// Bytes that it may grow to; what comes after that passes by.
    private let limit: Int64
    /// Chunks in the file.
    private(set) var digests: [UInt64] = []

    /// Opens the spool of a stream, and reads what is in it.
    ///
    /// - Throws: ``FileError``
    init(_ path: FilePath, chunkSize: Int, limit: Int64) throws(FileError) {
        self.path = path
        self.chunkSize = chunkSize
        self.limit = limit
        do {
            file = try FileDescriptor.open(
                path,
                .readWrite,
                options: [.create, .noFollow, .closeOnExec],
                permissions: .ownerReadWrite
            )
        } catch {
            throw FileError("open", path, error as? Errno ?? .ioError)
        }
        while let chunk = try read(digests.count) { digests.append(XXHash64.digest(chunk)) }
    }

    deinit { try? file.close() }

    /// A whole chunk; `nil` if it isn't there.
    func read(_ index: Int) throws(FileError) -> [UInt8]? {
        do {
            let chunk = try [UInt8](unsafeUninitializedCapacity: chunkSize) { buffer, filled in
                while filled < chunkSize {
                    let rest = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[filled...])
                    let count = try file.read(
                        fromAbsoluteOffset: Int64(index) * Int64(chunkSize) + Int64(filled),
                        into: rest
                    )
                    if count == 0 { break }
                    filled += count
                }
            }
            return chunk.count == chunkSize ? chunk : nil
        } catch {
            throw FileError("read", path, error as? Errno ?? .ioError)
        }
    }

    /// Keeps a chunk, if it follows those that are there, or takes the place of one; what came after it is forgotten.
    ///
    /// - Throws: ``FileError``
    func store(_ index: Int, _ digest: UInt64, _ bytes: ArraySlice<UInt8>) throws(FileError) {
        guard index <= digests.count else { return }
        let offset = Int64(index) * Int64(chunkSize)
        do {
            if index < digests.count {
                digests.removeSubrange(index...)
                guard ftruncate(file.rawValue, Int(offset)) == 0 else { throw Errno(rawValue: errno) }
            }
            guard bytes.count == chunkSize, offset + Int64(chunkSize) <= limit else { return }
            try file.writeAll(toAbsoluteOffset: offset, bytes)
            digests.append(digest)
        } catch {
            throw FileError("write", path, error as? Errno ?? .ioError)
        }
    }
}
