import Glibc

/// Writes a pipe, a socket or a file on a thread that may block, until a ``StopSignal`` ends it, even while nobody reads.
///
/// To be used inside of ``BrokenPipeSignal/withheld(_:)``.
public final class StreamWriter {
    private enum Kind { case pipe, socket, other }

    private let descriptor: FileDescriptor
    /// A pipe opened once more, not blocking; the flag of the caller's own would be everybody's who shares it.
    private let reopened: FileDescriptor?
    private let kind: Kind
    private let stop: StopSignal
    private var progress: StreamProgress

    /// Creates a writer.
    ///
    /// - Parameters:
    ///   - descriptor: stays the caller's to close.
    ///   - progress: called now and then with the bytes written so far.
    public init(_ descriptor: FileDescriptor, stop: StopSignal, progress: (@Sendable (Int64) -> Void)? = nil) {
        self.descriptor = descriptor
        self.stop = stop
        self.progress = StreamProgress(progress)
        var status = stat()
        let known = fstat(descriptor.rawValue, &status) == 0
        switch known ? status.st_mode & S_IFMT : 0 {
        case S_IFIFO: kind = .pipe
        case S_IFSOCK: kind = .socket
        default: kind = .other
        }
        // Fails if nobody reads any more, which writing finds as well, or if the pipe is another user's.
        reopened =
            kind == .pipe
            ? try? FileDescriptor.open(
                "/proc/self/fd/\(descriptor.rawValue)",
                .writeOnly,
                options: [.nonBlocking, .closeOnExec]
            ) : nil
    }

    deinit { try? reopened?.close() }

    /// Bytes written so far.
    public var count: Int64 { progress.count }

    /// Writes all bytes.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(StreamFailure) {
        var rest = bytes
        while !rest.isEmpty {
            let count = try step { descriptor in
                switch kind {
                case .socket: send(descriptor, rest.baseAddress, rest.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
                case .pipe, .other: Glibc.write(descriptor, rest.baseAddress, rest.count)
                }
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    /// Writes all bytes.
    public func write(_ bytes: [UInt8]) throws(StreamFailure) {
        let result: Result<Void, StreamFailure> = bytes.withUnsafeBytes { bytes in
            Result { () throws(StreamFailure) in try write(bytes) }
        }
        try result.get()
    }

    /// Whether what is written goes through a pipe, to which pages can be moved (splice(2)).
    public var isPipe: Bool { kind == .pipe }

    /// One write by a call that must not block once the descriptor is ready.
    ///
    /// - Parameter transfer: returns the number of bytes written, or a negative number with `errno` set.
    /// - Returns: what the call returned.
    public func step(_ transfer: (Int32) -> Int) throws(StreamFailure) -> Int {
        let file = reopened ?? descriptor
        while true {
            try stop.waitForStream(file, POLLOUT)
            let count = transfer(file.rawValue)
            if count >= 0 {
                progress.add(count)
                return count
            }
            let reason = Errno(rawValue: errno)
            guard reason == .interrupted || reason == .wouldBlock else { throw StreamFailure(reason) }
        }
    }

    /// Reports the number of bytes once more, if it has changed.
    public func finish() { progress.report() }
}

extension StreamFailure {
    /// What a system's reason means to a stream.
    public init(_ reason: Errno) {
        self =
            switch reason {
            case .brokenPipe, .connectionReset: .closed
            default: .system(reason)
            }
    }
}

/// The signal that ends a program which writes where nobody reads (pipe(7)).
public enum BrokenPipeSignal {
    /// Runs a closure, and keeps the signal from this thread meanwhile; writing then fails with `EPIPE`.
    public static func withheld<Success, Failure: Error>(
        _ body: () throws(Failure) -> Success
    ) throws(Failure) -> Success {
        var signals = sigset_t()
        var before = sigset_t()
        var pending = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        sigpending(&pending)
        let wasPending = sigismember(&pending, SIGPIPE) == 1
        pthread_sigmask(SIG_BLOCK, &signals, &before)
        defer {
            var now = timespec()
            while !wasPending, sigtimedwait(&signals, nil, &now) < 0, errno == EINTR {}
            pthread_sigmask(SIG_SETMASK, &before, nil)
        }
        return try body()
    }
}
