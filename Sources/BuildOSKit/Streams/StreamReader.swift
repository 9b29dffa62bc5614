import Glibc

/// Why reading or writing a stream ended before it was done.
public enum StreamFailure: Error, Hashable {
    /// The ``StopSignal`` was raised.
    case stopped
    /// There is nothing more to read.
    case ended
    /// Nobody reads what is written.
    case closed
    /// The system's reason.
    case system(Errno)
}

extension StopSignal {
    /// Waits until a stream's descriptor is ready.
    func waitForStream(_ descriptor: FileDescriptor, _ events: Int32) throws(StreamFailure) {
        let mayGoOn: Bool
        do throws(Errno) { mayGoOn = try wait(for: descriptor, events) } catch { throw StreamFailure(error) }
        guard mayGoOn else { throw .stopped }
    }
}

/// Reads a pipe, a socket or a file on a thread that may block, until a ``StopSignal`` ends it.
public final class StreamReader {
    private let descriptor: FileDescriptor
    private let stop: StopSignal
    private var progress: StreamProgress
    /// Bytes that were looked at, and are still to be read.
    private var ahead: [UInt8] = []

    /// Creates a reader.
    ///
    /// - Parameters:
    ///   - descriptor: stays the caller's to close.
    ///   - progress: called now and then with the bytes read so far.
    public init(_ descriptor: FileDescriptor, stop: StopSignal, progress: (@Sendable (Int64) -> Void)? = nil) {
        self.descriptor = descriptor
        self.stop = stop
        self.progress = StreamProgress(progress)
    }

    /// Bytes read so far.
    public var count: Int64 { progress.count }

    /// Reads what there is, at least one byte.
    ///
    /// - Returns: how many bytes; 0 at the end.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(StreamFailure) -> Int {
        if !ahead.isEmpty {
            let count = min(ahead.count, buffer.count)
            buffer.copyBytes(from: ahead[..<count])
            ahead.removeFirst(count)
            return count
        }
        while true {
            try waitUntilReadable()
            let count = Glibc.read(descriptor.rawValue, buffer.baseAddress, buffer.count)
            if count >= 0 {
                progress.add(count)
                return count
            }
            let reason = Errno(rawValue: errno)
            guard reason == .interrupted || reason == .wouldBlock else { throw .system(reason) }
        }
    }

    /// Waits until there is something to read, or the end.
    public func waitUntilReadable() throws(StreamFailure) {
        if ahead.isEmpty { try stop.waitForStream(descriptor, POLLIN) }
    }

    /// The bytes that are read next, which are read all the same then.
    ///
    /// - Throws: ``StreamFailure/ended`` if there are fewer.
    public func peek(_ count: Int) throws(StreamFailure) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let result: Result<Void, StreamFailure> = bytes.withUnsafeMutableBytes { buffer in
            Result { () throws(StreamFailure) in try fill(buffer) }
        }
        try result.get()
        ahead = bytes + ahead
        return bytes
    }

    /// Fills a buffer, and reads not a byte more.
    ///
    /// - Throws: ``StreamFailure/ended`` if the stream ends before.
    public func fill(_ buffer: UnsafeMutableRawBufferPointer) throws(StreamFailure) {
        var filled = 0
        while filled < buffer.count {
            let count = try read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
            guard count > 0 else { throw .ended }
            filled += count
        }
    }

    /// Reports the number of bytes once more, if it has changed.
    public func finish() { progress.report() }
}

/// Counts bytes, and tells of them a megabyte at a time.
public struct StreamProgress {
    /// Bytes so far.
    public private(set) var count: Int64 = 0
    private var reported: Int64 = 0
    private let handler: (@Sendable (Int64) -> Void)?

    /// Creates a counter.
    public init(_ handler: (@Sendable (Int64) -> Void)?) { self.handler = handler }

    /// Adds bytes.
    public mutating func add(_ bytes: Int) {
        count += Int64(bytes)
        if count - reported >= 1 << 20 { report() }
    }

    /// Tells of the number of bytes, if it has changed.
    public mutating func report() {
        guard count != reported else { return }
        reported = count
        handler?(count)
    }
}
