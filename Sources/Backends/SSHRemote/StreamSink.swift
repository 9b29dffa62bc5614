import BuildOSKit
import Glibc

/// Where one of a command's outputs goes, written without ever waiting for it.
final class StreamSink {
    private enum Kind {
        case discard
        case collect(limit: Int)
        case lines(@Sendable (String) -> Void)
        case descriptor(Int32, FileKind, isBlocking: Bool)
    }

    /// Why an output can't be taken.
    enum Failure {
        case tooMuch(limit: Int)
        case system(Errno)
    }

    private var kind: Kind
    private let isOwned: Bool
    private(set) var collected: [UInt8] = []
    /// Why it takes no more; what comes is dropped then.
    private(set) var failure: Failure?
    private var lines = LineSplitter()
    private var pending: [UInt8] = []
    private var written = 0

    private static let enough = 1 << 20

    /// Takes an output as a command has it.
    ///
    /// - Parameter standard: the descriptor that ``CommandOutput/inherited`` means.
    /// - Throws: `Errno` of open(2) or dup(2).
    init(_ output: CommandOutput, standard: Int32) throws {
        isOwned = true
        kind =
            switch output {
            case .discarded: .discard
            case .collected(let limit): .collect(limit: limit)
            case .lines(let handler): .lines(handler)
            case .appended(let path):
                .descriptor(
                    try FileDescriptor.open(
                        path,
                        .writeOnly,
                        options: [.append, .create, .closeOnExec],
                        permissions: [.ownerReadWrite, .groupRead, .otherRead]
                    ).rawValue,
                    .stored,
                    isBlocking: false
                )
            case .descriptor(let descriptor): try Self.open(descriptor.rawValue)
            case .inherited: try Self.open(standard)
            }
    }

    /// - Parameter socket: a connected one, which stays open after this.
    init(borrowing socket: Int32) {
        isOwned = false
        kind = .descriptor(socket, .socket, isBlocking: false)
    }

    deinit { closeDescriptor() }

    /// A pipe is opened anew, so that it needn't block here and goes on to block for whoever else has it.
    private static func open(_ descriptor: Int32) throws(Errno) -> Kind {
        let kind = FileKind(descriptor)
        if kind == .stream {
            let flags = O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY
            let again = Glibc.open("/proc/self/fd/\(descriptor)", flags)
            if again >= 0 { return .descriptor(again, kind, isBlocking: false) }
        }
        return .descriptor(try OwnDescriptor.duplicate(descriptor), kind, isBlocking: kind == .stream)
    }

    /// Whether it is worth while to bring more.
    var wantsMore: Bool { pending.count - written < Self.enough }
    /// Whether all that was brought is where it belongs.
    var isDrained: Bool { written == pending.count }

    /// What to wait for before ``flush()`` can go on; `nil` if there is nothing.
    var waitsFor: pollfd? {
        guard case .descriptor(let descriptor, _, _) = kind, !isDrained else { return nil }
        return pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    }

    func take(_ bytes: UnsafeRawBufferPointer) {
        switch kind {
        case .discard: break
        case .collect(let limit):
            if collected.count + bytes.count > limit { return fail(.tooMuch(limit: limit)) }
            collected.append(contentsOf: bytes)
        case .lines(let handler): lines.feed(bytes, handler)
        case .descriptor:
            let count = isDrained ? write(bytes) : 0
            if count < bytes.count { pending.append(contentsOf: bytes[count...]) }
        }
    }

    /// Writes what waits, as far as it is taken.
    func flush() {
        guard !isDrained else { return }
        let range = written..<pending.count
        written += pending.withUnsafeBytes { bytes in write(UnsafeRawBufferPointer(rebasing: bytes[range])) }
        if case .discard = kind { return discard() }
        if isDrained {
            pending.removeAll(keepingCapacity: true)
            written = 0
        } else if written >= Self.enough {
            pending.removeFirst(written)
            written = 0
        }
    }

    private func fail(_ failure: Failure) {
        self.failure = failure
        closeDescriptor()
        kind = .discard
    }

    /// Drops what waits and whatever else comes.
    func discard() {
        closeDescriptor()
        kind = .discard
        pending = []
        written = 0
    }

    /// Ends the last line and closes.
    func finish() {
        if case .lines(let handler) = kind { lines.finish(handler) }
        closeDescriptor()
        kind = .discard
    }

    private func closeDescriptor() {
        if isOwned, case .descriptor(let descriptor, _, _) = kind { close(descriptor) }
    }

    /// - Returns: how many bytes are dealt with.
    private func write(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard case .descriptor(let descriptor, let fileKind, let isBlocking) = kind else { return bytes.count }
        var total = 0
        while total < bytes.count {
            // PIPE_BUF bytes never block where poll(2) says that there is room (pipe(7)).
            if isBlocking, !isReady(descriptor, POLLOUT) { break }
            let rest = bytes[total...].prefix(isBlocking ? Int(PIPE_BUF) : .max)
            let part = UnsafeRawBufferPointer(rebasing: rest)
            let count = retryingInterrupted {
                fileKind == .socket
                    ? send(descriptor, part.baseAddress, part.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
                    : Glibc.write(descriptor, part.baseAddress, part.count)
            }
            if count < 0 {
                if errno == EAGAIN { break }
                fail(.system(Errno(rawValue: errno)))
                return bytes.count
            }
            total += count
        }
        return total
    }
}
