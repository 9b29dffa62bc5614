import Synchronization

/// Sends chunks to one host on a thread of its own, so that what one host waits for, its rate limit above all, keeps no other
/// waiting until it is ``depth`` chunks behind.
final class HostLane: Sendable {
    private struct Chunk {
        let index: Int
        let digest: UInt64
        let bytes: [UInt8]
    }

    private struct State {
        var waiting: [Chunk] = []
        var isClosed = false
        var isDone = false
    }

    /// Chunks that wait for a host, beside the one that is being sent; the hosts share their bytes.
    private static let depth = 2

    private let host: HostSession
    private let state = Mutex(State())
    /// Raised for the lane's thread.
    private let given: WakeSignal
    /// Raised by the lane's thread.
    private let taken: WakeSignal

    /// Starts the thread, which ends after ``close()``.
    ///
    /// - Throws: `Errno` if the system has no thread or no descriptor left.
    init(to host: HostSession) throws(Errno) {
        self.host = host
        given = try WakeSignal(blocking: true)
        taken = try WakeSignal(blocking: true)
        try DedicatedThread.start(name: "machine-lane") { self.work() }
    }

    /// Has a chunk sent; blocks while too many wait. To be called from one thread.
    func send(_ index: Int, _ digest: UInt64, _ bytes: [UInt8]) {
        wait { $0.waiting.count < Self.depth }
        state.withLock { $0.waiting.append(Chunk(index: index, digest: digest, bytes: bytes)) }
        given.raise()
    }

    /// Says that no more chunks come.
    func close() {
        state.withLock { $0.isClosed = true }
        given.raise()
    }

    /// Blocks until all chunks are sent, or passed over as the host has failed; after ``close()``.
    func waitUntilDone() { wait { $0.isDone } }

    private func wait(_ isSo: (borrowing State) -> Bool) {
        while !state.withLock({ isSo($0) }) { taken.wait() }
    }

    private func work() {
        while true {
            let (chunk, isClosed) = state.withLock { state in
                (state.waiting.isEmpty ? nil : state.waiting.removeFirst(), state.isClosed)
            }
            if let chunk {
                taken.raise()
                host.send(chunk.index, chunk.digest, chunk.bytes[...])
            } else if isClosed {
                state.withLock { $0.isDone = true }
                taken.raise()
                return
            } else {
                given.wait()
            }
        }
    }
}
