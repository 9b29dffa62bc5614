import Glibc

/// A thread for calls that block, which the cooperative pool must never see.
public enum DedicatedThread {
    /// Starts a detached thread that runs a closure and ends.
    ///
    /// - Parameter name: what tools show, at most 15 bytes of it (proc(5), "comm").
    /// - Throws: `Errno` of pthread_create(3), such as `EAGAIN` at the limit of threads.
    public static func start(name: String, _ body: @escaping @Sendable () -> Void) throws(Errno) {
        let entry = Unmanaged.passRetained(Entry(name: String(name.prefix(15)), body: body))
        var thread = pthread_t()
        let reason = pthread_create(
            &thread,
            nil,
            { context in
                guard let context else { return nil }
                let entry = Unmanaged<Entry>.fromOpaque(context).takeRetainedValue()
                if let comm = try? FileDescriptor.open("/proc/thread-self/comm", .writeOnly, options: .closeOnExec) {
                    _ = try? comm.closeAfter { try comm.writeAll(entry.name.utf8) }
                }
                entry.body()
                return nil
            },
            entry.toOpaque()
        )
        guard reason == 0 else {
            entry.release()
            throw Errno(rawValue: reason)
        }
        pthread_detach(thread)
    }

    /// Runs a closure that blocks on a thread of its own, and waits for it without blocking.
    ///
    /// Where the system has no thread left, it runs where it was called.
    public static func run<Success: Sendable, Failure: Error>(
        name: String,
        _ body: @escaping @Sendable () throws(Failure) -> Success
    ) async throws(Failure) -> Success {
        let result: Result<Success, Failure> = await withCheckedContinuation { continuation in
            let work: @Sendable () -> Void = { continuation.resume(returning: Result(catching: body)) }
            do throws(Errno) {
                try start(name: name, work)
            } catch {
                work()
            }
        }
        return try result.get()
    }

    private final class Entry: Sendable {
        let name: String
        let body: @Sendable () -> Void
        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }
}
