import Glibc
import Synchronization

/// Frames over a pair of descriptors. Its calls block: they belong on threads of their own.
///
/// One thread may read while others write.
final class FrameConnection: Sendable {
    private let input: FileDescriptor
    private let output: FileDescriptor
    private let writing = Mutex(())

    init(input: FileDescriptor, output: FileDescriptor) {
        self.input = input
        self.output = output
    }

    /// The next frame; `nil` at the end, if that is between two frames.
    ///
    /// - Throws: ``MachineError``
    func read() throws(MachineError) -> TransferFrame? {
        let head = try bytes(TransferFrame.headLength)
        if head.isEmpty { return nil }
        if head.count < TransferFrame.headLength, head.first == UInt8(ascii: "B") { throw .cut }
        let (kind, length) = try TransferFrame.parse(head: head)
        let payload = try bytes(length)
        guard payload.count == length else { throw .cut }
        return try TransferFrame(kind, payload: payload)
    }

    /// The next frame, which must be a message.
    ///
    /// - Throws: ``MachineError``; the one that the other side reports, if it does.
    func message() throws(MachineError) -> TransferMessage {
        switch try read() {
        case .message(.failed(let error)): throw error
        case .message(let message): return message
        case nil: throw .cut
        default: throw .badFrame("the other side sent something else than a message")
        }
    }

    /// Writes a frame.
    ///
    /// - Throws: ``MachineError`` of kind `interrupted` if nobody reads any more, or for longer than the descriptor's
    ///   time limit.
    func write(_ frame: TransferFrame, paced limiter: RateLimiter? = nil) throws(MachineError) {
        do {
            let head = try frame.encoded()
            try writing.withLock { _ in try write(head, frame, limiter) }
        } catch let error as Errno {
            throw error == .resourceTemporarilyUnavailable ? .stalled : .cut
        } catch {
            throw MachineError(.protocolError, "machine protocol", cause: "\(error)")
        }
    }

    private func write(_ head: [UInt8], _ frame: TransferFrame, _ limiter: RateLimiter?) throws {
        try head.withUnsafeBytes { try BlockingIO.write($0, to: output) }
        guard case .chunk(_, _, let bytes) = frame else { return }
        try bytes.withUnsafeBytes { data in
            guard let limiter else { return try BlockingIO.write(data, to: output) }
            for start in stride(from: 0, to: data.count, by: limiter.pieceSize) {
                let piece = UnsafeRawBufferPointer(rebasing: data[start..<min(data.count, start + limiter.pieceSize)])
                limiter.wait(for: piece.count)
                try BlockingIO.write(piece, to: output)
            }
        }
    }

    /// Up to `count` bytes: fewer only at the end.
    private func bytes(_ count: Int) throws(MachineError) -> [UInt8] {
        do {
            return try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
                filled = try BlockingIO.read(into: UnsafeMutableRawBufferPointer(buffer), from: input)
            }
        } catch {
            throw .cut
        }
    }
}

extension MachineError {
    /// The other side is gone.
    static let cut = MachineError(
        .interrupted,
        "machine protocol",
        cause: "the connection ended before all was done",
        remedy: "run it again: it goes on where it stopped"
    )
    static let stalled = MachineError(
        .timedOut,
        "machine protocol",
        cause: "the host took nothing for a long time",
        remedy: "run it again: it goes on where it stopped"
    )
}

/// Reading and writing that waits until all is done.
enum BlockingIO {
    /// Fills the buffer; returns fewer bytes only at the end.
    static func read(into buffer: UnsafeMutableRawBufferPointer, from descriptor: FileDescriptor) throws(Errno) -> Int {
        var filled = 0
        while filled < buffer.count {
            let count = Glibc.read(descriptor.rawValue, buffer.baseAddress?.advanced(by: filled), buffer.count - filled)
            if count == 0 { return filled }
            if count < 0 {
                let reason = Errno(rawValue: errno)
                if reason == .interrupted { continue }
                if reason == .resourceTemporarilyUnavailable {
                    waitUntil(descriptor, POLLIN)
                    continue
                }
                throw reason
            }
            filled += count
        }
        return filled
    }

    /// Writes all of it. A socket that nobody reads is an error, not a signal.
    static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: FileDescriptor) throws(Errno) {
        var written = 0
        var isSocket = true
        while written < bytes.count {
            let (start, rest) = (bytes.baseAddress?.advanced(by: written), bytes.count - written)
            let count =
                isSocket
                ? Glibc.send(descriptor.rawValue, start, rest, Int32(MSG_NOSIGNAL))
                : Glibc.write(descriptor.rawValue, start, rest)
            if count >= 0 {
                written += count
                continue
            }
            switch Errno(rawValue: errno) {
            case .interrupted: continue
            case .notSocket where isSocket: isSocket = false
            case let reason: throw reason
            }
        }
    }

    private static func waitUntil(_ descriptor: FileDescriptor, _ events: Int32) {
        var request = pollfd(fd: descriptor.rawValue, events: Int16(events), revents: 0)
        poll(&request, 1, -1)
    }

    /// Two ends of one connection inside this machine, both ways.
    ///
    /// Sockets, not pipes: these are made close-on-exec in one step, and writing to one whose reader is gone is an error.
    static func pair() throws(MachineError) -> (FileDescriptor, FileDescriptor) {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else {
            throw MachineError(.storage, "a pair of sockets", cause: "\(Errno(rawValue: errno))")
        }
        return (FileDescriptor(rawValue: ends[0]), FileDescriptor(rawValue: ends[1]))
    }

    /// Has writing to a socket fail after a time in which the other side took nothing.
    static func limitWriting(to descriptor: FileDescriptor, _ limit: Duration) {
        var time = timeval(tv_sec: Int(limit.components.seconds), tv_usec: 0)
        setsockopt(descriptor.rawValue, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    }
}
