import BuildOSKit
import Glibc
import Synchronization

/// A port on this machine whose connections are passed on.
final class ForwardedPort: PortForward {
    private struct State {
        var isStopping = false
        var isOver = false
        /// Connections that are being passed on.
        var jobs: Set<UInt64> = []
        var waiters: [CheckedContinuation<Void, Never>] = []
        var isDone: Bool { isOver && jobs.isEmpty }
    }

    let localPort: Int
    private let target: ForwardTarget
    private let pool: ConnectionPool
    private let shared = Shared()
    private let signal: WakeSignal

    private final class Shared: Sendable {
        let state = Mutex(State())

        func update(_ change: (inout State) -> Void) {
            let waiters: [CheckedContinuation<Void, Never>] = state.withLock { state in
                change(&state)
                guard state.isDone else { return [] }
                defer { state.waiters = [] }
                return state.waiters
            }
            for waiter in waiters { waiter.resume() }
        }
    }

    /// Listens, and starts the thread that accepts.
    init(_ localPort: Int, to target: ForwardTarget, over pool: ConnectionPool) throws(TransportError) {
        self.target = target
        self.pool = pool
        let subject = "port \(localPort) on 127.0.0.1"
        do throws(Errno) {
            signal = try WakeSignal(blocking: false)
            let (listener, port) = try Self.listen(localPort)
            self.localPort = port
            let (shared, signal) = (shared, signal)
            do throws(Errno) {
                try DedicatedThread.start(name: "ssh-forward") {
                    Self.accept(listener, signal, shared, target, pool)
                    // A child that was forked and has not reached exec yet holds the port open, unless it is shut.
                    shutdown(listener, Int32(SHUT_RDWR))
                    Glibc.close(listener)
                    shared.update { $0.isOver = true }
                }
            } catch {
                Glibc.close(listener)
                throw error
            }
        } catch {
            throw TransportError(
                .inputOutput,
                subject: subject,
                detail: error.description,
                remedy: error == .addressInUse ? "choose another port, or 0 for any" : nil
            )
        }
    }

    func stop() async {
        shared.update { $0.isStopping = true }
        signal.raise()
        for id in shared.state.withLock({ $0.jobs }) { pool.cancel(id) }
        await withCheckedContinuation { continuation in
            let isDone = shared.state.withLock { state in
                if !state.isDone { state.waiters.append(continuation) }
                return state.isDone
            }
            if isDone { continuation.resume() }
        }
    }

    private static func listen(_ port: Int) throws(Errno) -> (descriptor: Int32, port: Int) {
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let descriptor = socket(AF_INET, kind, 0)
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(truncatingIfNeeded: port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutablePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, size) == 0 && Glibc.listen(descriptor, 64) == 0
                    && getsockname(descriptor, address, &size) == 0
            }
        }
        guard isListening else {
            let reason = Errno(rawValue: errno)
            Glibc.close(descriptor)
            throw reason
        }
        return (descriptor, Int(UInt16(bigEndian: address.sin_port)))
    }

    private static func accept(
        _ listener: Int32,
        _ signal: WakeSignal,
        _ shared: Shared,
        _ target: ForwardTarget,
        _ pool: ConnectionPool
    ) {
        while true {
            var entries = [
                pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
                pollfd(fd: signal.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            poll(&entries, nfds_t(entries.count), -1)
            if shared.state.withLock({ $0.isStopping }) { return }
            guard entries[0].revents != 0 else { continue }
            let socket = Glibc.accept(listener, nil, nil)
            guard socket >= 0 else {
                // Out of descriptors: one that is waiting stays, and would wake us for ever.
                if errno == EMFILE || errno == ENFILE { poll(nil, 0, 100) }
                continue
            }
            // Swift's Glibc has no accept4(2), which would do it in one step.
            _ = fcntl(socket, F_SETFD, FD_CLOEXEC)
            let id = pool.nextID()
            shared.update { $0.jobs.insert(id) }
            pool.submit(
                ForwardJob(
                    id: id,
                    target: target,
                    socket: socket,
                    opened: { _ in },
                    ended: { shared.update { $0.jobs.remove(id) } }
                )
            )
            if shared.state.withLock({ $0.isStopping }) { pool.cancel(id) }
        }
    }
}
