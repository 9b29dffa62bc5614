import BuildOSKit
import CTFTPFiles
import Glibc
import NIOCore

/// A descriptor that is closed when nobody holds it any more; what it names may be replaced meanwhile.
final class HeldFile: Sendable {
    let descriptor: Int32
    init(descriptor: Int32) { self.descriptor = descriptor }
    deinit { close(descriptor) }
}

/// The bytes that a session sends, made into packets.
struct ServedContent: Sendable {
    /// What came of making packets.
    enum Batch: Sendable {
        case packets(PacketRun)
        /// The file's next bytes are not in memory; ask again where it does no harm to wait.
        case wouldWait
        case failed(TFTPRefusal)
    }

    private enum Source: Sendable {
        case file(HeldFile)
        case text([UInt8])
    }

    /// Most packets, and most bytes unless one packet has more, that are made at once.
    private static let batchPackets = 64
    private static let batchBytes = 256 << 10
    /// Text is converted when it is opened, so that its size is known.
    static let maximumTextBytes = 1 << 20

    private let source: Source
    /// Bytes in all, as sent.
    let size: Int64

    /// Opens a file beneath a root. Waits for the disk.
    ///
    /// - Throws: ``TFTPRefusal`` in the client's words.
    init(_ path: RelativePath, beneath root: FilePath, _ mode: TFTPRequest.Mode) throws(TFTPRefusal) {
        let directory = open(root.string, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw Self.refusal(errno) }
        defer { close(directory) }
        let descriptor = ctftp_open_beneath(directory, path.description)
        guard descriptor >= 0 else { throw Self.refusal(-descriptor) }
        let file = HeldFile(descriptor: descriptor)
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.refusal(errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw TFTPRefusal(.accessViolation, "that isn't a file") }
        switch mode {
        case .octet:
            source = .file(file)
            size = Int64(status.st_size)
        case .netascii:
            let text = try Self.text(file, Int(status.st_size))
            source = .text(text)
            size = Int64(text.count)
        }
    }

    /// Packets with the blocks from a number on: as many as asked for, as there are, or as are well made at once.
    ///
    /// - Parameter waits: whether to wait for the disk.
    func packets(from block: Int64, count: Int, blockSize: Int, waits: Bool) -> Batch {
        let last = size / Int64(blockSize) + 1
        let room = min(count, Self.batchPackets, max(1, Self.batchBytes / blockSize))
        let number = Int(min(Int64(room), last - block + 1))
        guard number > 0 else { return .failed(TFTPRefusal(.notDefined, "there is no block \(block)")) }
        let offset = (block - 1) * Int64(blockSize)
        let payload = Int(min(Int64(number * blockSize), size - offset))

        let packetLength = TFTPPacket.dataHeaderLength + blockSize
        let total = payload + number * TFTPPacket.dataHeaderLength
        var buffer = ByteBufferAllocator().buffer(capacity: total)
        var outcome = 0
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: total) { bytes in
            let bytes = UnsafeMutableRawBufferPointer(rebasing: bytes.prefix(total))
            for index in 0..<number {
                let wire = UInt16(truncatingIfNeeded: block + Int64(index))
                bytes.storeBytes(of: UInt16(3).bigEndian, toByteOffset: index * packetLength, as: UInt16.self)
                bytes.storeBytes(of: wire.bigEndian, toByteOffset: index * packetLength + 2, as: UInt16.self)
            }
            outcome = fill(bytes, packetLength, from: offset, waits: waits)
            return total
        }
        guard outcome == payload else {
            if outcome == -Int(EAGAIN) || (outcome >= 0 && !waits) { return .wouldWait }
            let cause = outcome < 0 ? "\(Errno(rawValue: Int32(-outcome)))" : "it was cut while it was read"
            return .failed(TFTPRefusal(.notDefined, "the file can't be read: \(cause)"))
        }
        let isLast = block + Int64(number) - 1 == last
        return .packets(PacketRun(first: block, count: number, isLast: isLast, packetLength, buffer))
    }

    /// Puts the content behind the headers, in one call to the system.
    ///
    /// - Returns: how many bytes, or a negative errno.
    private func fill(
        _ bytes: UnsafeMutableRawBufferPointer,
        _ packetLength: Int,
        from offset: Int64,
        waits: Bool
    ) -> Int {
        let places = stride(from: 0, to: bytes.count, by: packetLength).map { start in
            UnsafeMutableRawBufferPointer(
                rebasing: bytes[(start + TFTPPacket.dataHeaderLength)..<min(start + packetLength, bytes.count)]
            )
        }
        switch source {
        case .text(let text):
            var position = Int(offset)
            for place in places {
                place.copyBytes(from: text[position..<(position + place.count)])
                position += place.count
            }
            return position - Int(offset)
        case .file(let file):
            let vectors = places.map { iovec(iov_base: $0.baseAddress, iov_len: $0.count) }
            let count = ctftp_read(file.descriptor, vectors, Int32(vectors.count), offset, waits ? 0 : 1)
            // A file system that can't say what is in memory: one that is all in memory, as a rule.
            guard count == -Int(EOPNOTSUPP) else { return count }
            return ctftp_read(file.descriptor, vectors, Int32(vectors.count), offset, 0)
        }
    }

    private static func text(_ file: HeldFile, _ size: Int) throws(TFTPRefusal) -> [UInt8] {
        let tooLarge = TFTPRefusal(.illegalOperation, "netascii is for texts of up to 1 MiB: ask for octet")
        guard size <= maximumTextBytes else { throw tooLarge }
        var bytes = [UInt8](repeating: 0, count: size)
        var count = 0
        while count < size {
            let read = bytes.withUnsafeMutableBytes {
                pread(file.descriptor, $0.baseAddress?.advanced(by: count), size - count, off_t(count))
            }
            guard read >= 0 else { throw refusal(errno) }
            if read == 0 { break }
            count += read
        }
        let encoded = NetASCII.encode(bytes.prefix(count))
        guard encoded.count <= maximumTextBytes else { throw tooLarge }
        return encoded
    }

    private static func refusal(_ reason: Int32) -> TFTPRefusal {
        switch reason {
        case ENOENT, ENOTDIR: TFTPRefusal(.fileNotFound, "there is no such file")
        case EXDEV: TFTPRefusal(.accessViolation, "that leads out of the served directory")
        case EACCES, EPERM: TFTPRefusal(.accessViolation, "the server may not read that file")
        case ELOOP: TFTPRefusal(.accessViolation, "that is a link that can't be followed")
        default: TFTPRefusal(.notDefined, "the file can't be opened: \(Errno(rawValue: reason))")
        }
    }
}
