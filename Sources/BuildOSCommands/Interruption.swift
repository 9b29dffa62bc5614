import Dispatch
import Glibc

/// Runs a task that Ctrl-C (SIGINT) and SIGTERM cancel, so that it can clean up after itself before the program ends.
///
/// - Parameter signals: other signals that do.
func cancelledByInterrupt<Success: Sendable>(
    _ signals: [Int32] = [SIGINT, SIGTERM],
    _ body: @escaping @Sendable () async throws -> Success
) async throws -> Success {
    let task = Task { try await body() }
    let sources = signals.map { number in
        signal(number, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
        source.setEventHandler { task.cancel() }
        source.resume()
        return source
    }
    defer {
        for source in sources { source.cancel() }
        for number in signals { signal(number, SIG_DFL) }
    }
    return try await task.value
}
