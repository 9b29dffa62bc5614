import BuildOSKit
import Glibc

internal import CBtrfsUtil

/// Has the kernel write a subvolume as a stream into a pipe, and carries that on to where it should go: so the stream can be
/// counted, and be ended while nobody reads it.
struct StreamSender: Sendable {
    /// What is sent.
    let path: FilePath
    let subvolume: FileDescriptor
    /// The id of the parent; 0 to send everything.
    let parent: UInt64
    /// The version of the protocol.
    let version: UInt32

    /// How the two halves ended.
    private struct Outcome {
        let kernel: Errno?
        let carrier: StreamFailure?
    }

    /// Sends; returns when the last byte is written.
    func run(
        to sink: FileDescriptor,
        stop: StopSignal,
        progress: (@Sendable (Int64) -> Void)?
    ) async -> Result<Void, MachineStorageError> {
        var ends: [Int32] = [-1, -1]
        guard cbtrfsutil_pipe(&ends) == 0 else {
            return .failure(MachineStorageError(Errno(rawValue: errno), path, "make a pipe"))
        }
        let (readEnd, writeEnd) = (FileDescriptor(rawValue: ends[0]), FileDescriptor(rawValue: ends[1]))
        async let kernel = DedicatedThread.run(name: "btrfs-send") { () -> Errno? in
            defer { try? writeEnd.close() }
            return BrokenPipeSignal.withheld {
                cbtrfsutil_send(subvolume.rawValue, writeEnd.rawValue, parent, version) == 0
                    ? nil : Errno(rawValue: errno)
            }
        }
        async let carrier = DedicatedThread.run(name: "btrfs-send-carry") { () -> StreamFailure? in
            // Closed before the kernel is done, this end ends the kernel's writing.
            defer { try? readEnd.close() }
            let result: Result<Void, StreamFailure> = BrokenPipeSignal.withheld {
                Result { () throws(StreamFailure) in
                    try Self.carry(readEnd, to: StreamWriter(sink, stop: stop, progress: progress), stop)
                }
            }
            if case .failure(let failure) = result { return failure }
            return nil
        }
        let outcome = Outcome(kernel: await kernel, carrier: await carrier)
        return Result { () throws(MachineStorageError) in try check(outcome) }
    }

    private static func carry(
        _ source: FileDescriptor,
        to writer: StreamWriter,
        _ stop: StopSignal
    ) throws(StreamFailure) {
        if writer.isPipe {
            let reading = StreamReader(source, stop: stop)
            while true {
                try reading.waitUntilReadable()
                guard try writer.step({ cbtrfsutil_splice(source.rawValue, $0, 1 << 20) }) > 0 else { break }
            }
        } else {
            let reader = StreamReader(source, stop: stop)
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)
            defer { buffer.deallocate() }
            while true {
                let count = try reader.read(into: buffer)
                guard count > 0 else { break }
                try writer.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
        }
        writer.finish()
    }

    private func check(_ outcome: Outcome) throws(MachineStorageError) {
        switch outcome.carrier {
        case .stopped: throw MachineStorageError(.cancelled, path: path, cause: "sending was cancelled")
        case .closed: throw MachineStorageError(.streamClosed, path: path, cause: "nobody reads the stream any more")
        case .system(let reason): throw MachineStorageError(reason, path, "write the stream")
        case .ended, nil: break
        }
        if let reason = outcome.kernel { throw MachineStorageError(reason, path, "send the subvolume") }
    }
}
