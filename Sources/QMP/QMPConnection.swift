import Glibc
import Synchronization

/// A client of QEMU's machine protocol, by a connected socket (docs/interop/qmp-spec.txt of QEMU).
///
/// Replies find their commands by id, in whatever order they come. Nothing is read unless a thread runs ``serve(_:)``;
/// sending never blocks.
public final class QMPConnection: Sendable {
    private typealias Reply = Result<JSONValue, QMPError>

    private struct Pending {
        let continuation: CheckedContinuation<Reply, Never>
        let timer: Task<Void, Never>
    }

    private struct State {
        var greeting: QMPGreeting?
        var lastID: Int64 = 0
        var pending: [Int64: Pending] = [:]
        var subscribers: [Int64: AsyncStream<QMPEvent>.Continuation] = [:]
        var end: QMPError?
    }

    /// The id under which the greeting is waited for; commands begin with 1.
    private static let greetingID: Int64 = 0
    /// Events that a slow subscriber may be behind.
    private static let eventBacklog = 256

    private let socket: Int32
    private let state = Mutex(State())
    private let sending = Mutex(())

    /// Takes over a connected stream socket, which is closed with the last reference to this.
    public init(socket: Int32) { self.socket = socket }

    /// Connects to a socket in the file system.
    ///
    /// - Throws: ``QMPError/cannotConnect(_:)``
    public convenience init(connectingTo path: String) throws(QMPError) {
        self.init(socket: try UnixSocket.connect(to: path))
    }

    deinit { Glibc.close(socket) }

    /// The process on the other side: the one that made a pair of sockets, or listens on a socket in the file system.
    public var peerProcess: Int32? { UnixSocket.peerProcess(of: socket) }

    /// Reads until the connection ends. Blocks: for a thread of its own.
    ///
    /// - Parameter onEvent: called in the order of events, before anybody hears of the end.
    public func serve(_ onEvent: (QMPEvent) -> Void = { _ in }) {
        var reader = LineReader()
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count = recv(socket, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return end(.closed) }
            do throws(QMPError) {
                try reader.feed(buffer[..<count]) { line throws(QMPError) in
                    try take(try QMPMessage(parsing: line), onEvent)
                }
            } catch {
                return end(error)
            }
        }
    }

    /// Waits for the greeting and enters command mode.
    ///
    /// - Throws: ``QMPError``
    @discardableResult
    public func negotiate(timeLimit: Duration = .seconds(30)) async throws(QMPError) -> QMPGreeting {
        _ = try await reply(id: Self.greetingID, "greeting", timeLimit, send: nil)
        try await execute("qmp_capabilities", timeLimit: timeLimit)
        guard let greeting = state.withLock({ $0.greeting }) else { throw .closed }
        return greeting
    }

    /// Has a command carried out.
    ///
    /// - Parameters:
    ///   - command: its name, as in the QEMU QMP reference manual.
    ///   - descriptor: one that goes with it, for `getfd` and `add-fd`; it stays the caller's.
    /// - Returns: what it returns.
    /// - Throws: ``QMPError``
    @discardableResult
    public func execute(
        _ command: String,
        _ arguments: [String: JSONValue] = [:],
        descriptor: Int32? = nil,
        timeLimit: Duration = .seconds(30)
    ) async throws(QMPError) -> JSONValue {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        var message: [String: JSONValue] = ["execute": .string(command), "id": .integer(id)]
        if !arguments.isEmpty { message["arguments"] = .object(arguments) }
        let line = Array("\(JSONValue.object(message))\r\n".utf8)
        return try await reply(id: id, command, timeLimit, send: (line, descriptor))
    }

    /// Events from now on, until the connection ends. A reader that is far behind loses the oldest.
    public func events() -> AsyncStream<QMPEvent> {
        let (stream, continuation) = AsyncStream<QMPEvent>.makeStream(
            bufferingPolicy: .bufferingNewest(Self.eventBacklog)
        )
        let id: Int64? = state.withLock { state in
            guard state.end == nil else { return nil }
            state.lastID += 1
            state.subscribers[state.lastID] = continuation
            return state.lastID
        }
        guard let id else {
            continuation.finish()
            return stream
        }
        continuation.onTermination = { [weak self] _ in
            self?.state.withLock { _ = $0.subscribers.removeValue(forKey: id) }
        }
        return stream
    }

    /// Ends the connection: what waits for replies fails, and ``serve(_:)`` returns.
    public func close() {
        shutdown(socket, Int32(SHUT_RDWR))
        end(.closed)
    }

    private func reply(
        id: Int64,
        _ command: String,
        _ timeLimit: Duration,
        send: (line: [UInt8], descriptor: Int32?)?
    ) async throws(QMPError) -> JSONValue {
        let reply: Reply = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let known: Reply? = state.withLock { state in
                    if id == Self.greetingID, state.greeting != nil { return .success(.null) }
                    if let end = state.end { return .failure(end) }
                    let timer = Task { [weak self] in
                        guard (try? await Task.sleep(for: timeLimit)) != nil else { return }
                        self?.finish(id, .failure(.timedOut(command: command, timeLimit)))
                    }
                    state.pending[id] = Pending(continuation: continuation, timer: timer)
                    return nil
                }
                if let known { return continuation.resume(returning: known) }
                if Task.isCancelled { return finish(id, .failure(.cancelled)) }
                guard let send else { return }
                do throws(QMPError) {
                    try sending.withLock { _ throws(QMPError) in
                        try UnixSocket.send(send.line, descriptor: send.descriptor, to: socket)
                    }
                } catch {
                    finish(id, .failure(error))
                    // A command that went out in part would garble the next.
                    close()
                }
            }
        } onCancel: {
            finish(id, .failure(.cancelled))
        }
        return try reply.get()
    }

    private func take(_ message: QMPMessage, _ onEvent: (QMPEvent) -> Void) throws(QMPError) {
        switch message {
        case .greeting(let greeting):
            state.withLock { $0.greeting = greeting }
            finish(Self.greetingID, .success(.null))
        case .success(let id, let value):
            guard let id = id?.integer else { throw .malformed("a reply without the id of its command") }
            finish(id, .success(value))
        case .failure(let id, let errorClass, let description):
            // QEMU answers what it could not parse without an id.
            let target = id?.integer ?? state.withLock { $0.pending.keys.min() }
            if let target {
                finish(target, .failure(.failed(errorClass: errorClass, description: description)))
            }
        case .event(let event):
            onEvent(event)
            for subscriber in state.withLock({ Array($0.subscribers.values) }) { subscriber.yield(event) }
        }
    }

    private func finish(_ id: Int64, _ reply: Reply) {
        guard let pending = state.withLock({ $0.pending.removeValue(forKey: id) }) else { return }
        pending.timer.cancel()
        pending.continuation.resume(returning: reply)
    }

    private func end(_ reason: QMPError) {
        let (pending, subscribers) = state.withLock { state in
            if state.end == nil { state.end = reason }
            defer {
                state.pending = [:]
                state.subscribers = [:]
            }
            return (Array(state.pending.values), Array(state.subscribers.values))
        }
        for entry in pending {
            entry.timer.cancel()
            entry.continuation.resume(returning: .failure(reason))
        }
        for subscriber in subscribers { subscriber.finish() }
    }
}
