import BuildOSKit
import Glibc

/// Where a command's input comes from, read without ever waiting for it.
final class StreamSource {
    private var descriptor: Int32?
    private let isOwned: Bool
    /// Whether it is something that one may have to wait for.
    private let isPollable: Bool
    private var chunk: [UInt8]
    private var unread: Range<Int>
    /// Why no more could be read.
    private(set) var failure: Errno?

    private static let portion = 256 << 10

    /// - Parameter isOwned: whether the descriptor is closed with this.
    init(_ descriptor: Int32, isOwned: Bool = true) {
        self.descriptor = descriptor
        self.isOwned = isOwned
        isPollable = FileKind(descriptor) != .stored
        chunk = [UInt8](repeating: 0, count: Self.portion)
        unread = 0..<0
        if !isPollable { posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL) }
    }

    init(_ bytes: [UInt8]) {
        descriptor = nil
        isOwned = false
        isPollable = false
        chunk = bytes
        unread = bytes.indices
    }

    deinit { finish() }

    /// Takes an input as a command has it.
    ///
    /// - Throws: `Errno` of open(2) or dup(2).
    static func of(_ input: CommandInput) throws -> StreamSource {
        switch input {
        case .none: StreamSource([])
        case .bytes(let bytes): StreamSource(bytes)
        case .file(let path): StreamSource(try FileDescriptor.open(path, .readOnly, options: .closeOnExec).rawValue)
        case .descriptor(let descriptor): StreamSource(try OwnDescriptor.duplicate(descriptor.rawValue))
        case .inherited: StreamSource(try OwnDescriptor.duplicate(STDIN_FILENO))
        }
    }

    /// Whether all was read and taken.
    var isAtEnd: Bool { unread.isEmpty && descriptor == nil }

    /// What to wait for before ``fill()`` can go on; `nil` if there is nothing.
    var waitsFor: pollfd? {
        guard isPollable, unread.isEmpty, let descriptor else { return nil }
        return pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    }

    /// Reads if nothing is left of what was read and if it needn't wait.
    func fill() {
        guard unread.isEmpty, let descriptor else { return }
        if isPollable, !isReady(descriptor, POLLIN) { return }
        let count = chunk.withUnsafeMutableBytes { chunk in
            retryingInterrupted { read(descriptor, chunk.baseAddress, chunk.count) }
        }
        if count < 0 {
            if errno == EAGAIN { return }
            failure = Errno(rawValue: errno)
        }
        if count > 0 { unread = 0..<count } else { finish() }
    }

    /// Offers what was read; the closure returns how much of it it took.
    func give<Failure: Error>(_ take: (UnsafeRawBufferPointer) throws(Failure) -> Int) throws(Failure) {
        let range = unread
        let outcome = chunk.withUnsafeBytes { chunk in
            Result { () throws(Failure) in try take(UnsafeRawBufferPointer(rebasing: chunk[range])) }
        }
        unread.removeFirst(try outcome.get())
    }

    /// Closes it, so that whoever writes to it is told.
    func finish() {
        if let descriptor, isOwned { close(descriptor) }
        descriptor = nil
        unread = 0..<0
    }
}

/// What kind of file a descriptor is of, as far as reading and writing differ.
enum FileKind {
    /// On a disk: never to be waited for with poll(2).
    case stored
    case socket
    /// A pipe, a terminal and the like.
    case stream

    init(_ descriptor: Int32) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            self = .stream
            return
        }
        self =
            switch status.st_mode & S_IFMT {
            case S_IFREG, S_IFBLK: .stored
            case S_IFSOCK: .socket
            default: .stream
            }
    }
}

enum OwnDescriptor {
    /// A duplicate that programs started meanwhile don't inherit.
    ///
    /// - Throws: `Errno` of fcntl(2).
    static func duplicate(_ descriptor: Int32) throws(Errno) -> Int32 {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw Errno(rawValue: errno) }
        return copy
    }
}

/// Whether a descriptor can be read or written at once, or is broken, which the call will tell.
func isReady(_ descriptor: Int32, _ events: Int32) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
    return poll(&entry, 1, 0) > 0
}
