import Glibc
import Synchronization

/// Runs an actor on a thread of its own, so that its calls into the system may block.
public final class BlockingExecutor: SerialExecutor {
    private let queue: Queue

    /// Starts the thread.
    ///
    /// - Throws: `Errno` if the system has no thread or no descriptor left.
    public init(name: String) throws(Errno) {
        let queue = Queue(signal: try WakeSignal(blocking: true))
        self.queue = queue
        try DedicatedThread.start(name: name) { queue.work() }
    }

    deinit { queue.stop() }

    public func enqueue(_ job: consuming ExecutorJob) {
        queue.add(UnownedJob(job), to: asUnownedSerialExecutor())
    }

    private final class Queue: Sendable {
        private struct State {
            var jobs: [(job: UnownedJob, executor: UnownedSerialExecutor)] = []
            var isStopping = false
        }
        private let state = Mutex(State())
        private let signal: WakeSignal

        init(signal: WakeSignal) { self.signal = signal }

        func add(_ job: UnownedJob, to executor: UnownedSerialExecutor) {
            state.withLock { $0.jobs.append((job, executor)) }
            signal.raise()
        }

        func stop() {
            state.withLock { $0.isStopping = true }
            signal.raise()
        }

        func work() {
            while true {
                let (jobs, isStopping) = state.withLock { state in
                    defer { state.jobs = [] }
                    return (state.jobs, state.isStopping)
                }
                for (job, executor) in jobs { job.runSynchronously(on: executor) }
                if jobs.isEmpty {
                    if isStopping { return }
                    signal.wait()
                }
            }
        }
    }
}
