import BuildOSKit
import Glibc
import Synchronization

/// An HTTP server on 127.0.0.1 that answers by path, well or badly, for suites that need both.
///
/// `/a/N` N times the letter a; `/unsized/N` the same without a length; `/moved/N` N redirects, then a body;
/// `/loop`; `/to-file`; `/status/N`; `/explained/N`, a
/// status with its reason; `/cut`; `/stall`; `/silent`; `/endless`; `/endless-header`; `/versioned`, which
/// honours conditional requests; `/barrier/N`, which answers when N requests have come; `/held`, which answers after
/// ``release()``; `/echo`, which answers with the request; `/again/STATUS`, a redirect there; `/part/MODE/N`, of which
/// ``PartialAnswer`` says what it does; `/files/…`, the files of a directory. What follows in the path doesn't matter,
/// so that it can end as a test needs it. It is a proxy, too, that answers for every host.
public final class MisbehavingServer: Sendable {
    /// The system refused a socket.
    public struct CannotStart: Error {
        /// Its reason.
        public let errno: Errno
    }

    /// What `/versioned` says of its version.
    static let entityTag = "\"v1\""
    static let lastModified = "Sun, 06 Nov 1994 08:49:37 GMT"

    /// The port of 127.0.0.1 it listens at.
    public let port: UInt16
    private let files: FilePath?
    private let listener: Int32
    private let state = Mutex(State())

    private struct State {
        var connections: Set<Int32> = []
        var requests = 0
        var held = 0
        var mostHeld = 0
        var isReleased = false
        var partBytes = 0
        var isStopped = false
    }

    /// Starts a server.
    ///
    /// - Parameter files: the directory behind `/files`.
    public init(files: FilePath? = nil) throws {
        self.files = files
        let socket = try Self.boundSocket()
        listener = socket.descriptor
        port = socket.port
        guard listen(listener, 128) == 0 else { throw CannotStart(errno: Errno(rawValue: errno)) }
        try DedicatedThread.start(name: "test-server") { self.acceptAll() }
    }

    /// A port of 127.0.0.1 at which nobody listens.
    public static func unusedPort() throws -> UInt16 {
        let socket = try boundSocket()
        close(socket.descriptor)
        return socket.port
    }

    /// The URL of a path on this server.
    public func url(_ path: String) throws -> ResourceURL { try ResourceURL("http://127.0.0.1:\(port)\(path)") }

    /// Requests that have come so far.
    public var requestCount: Int { state.withLock { $0.requests } }

    /// Most requests for `/held` that waited at once.
    var mostHeld: Int { state.withLock { $0.mostHeld } }

    /// Bytes of `/part` that were sent so far.
    var partByteCount: Int { state.withLock { $0.partBytes } }

    /// Has `/held` answered, now and from now on.
    func release() { state.withLock { $0.isReleased = true } }

    /// Ends all connections and stops listening.
    public func stop() {
        state.withLock { state in
            guard !state.isStopped else { return }
            state.isStopped = true
            for connection in state.connections { shutdown(connection, Int32(SHUT_RDWR)) }
            shutdown(listener, Int32(SHUT_RDWR))
        }
    }

    private static func boundSocket() throws -> (descriptor: Int32, port: UInt16) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(descriptor, generic, length) == 0 ? getsockname(descriptor, generic, &length) : -1
            }
        }
        guard descriptor >= 0, result == 0 else { throw CannotStart(errno: Errno(rawValue: errno)) }
        return (descriptor, UInt16(bigEndian: address.sin_port))
    }

    private func acceptAll() {
        while true {
            let connection = accept(listener, nil, nil)
            let isStopped = state.withLock { state in
                if connection >= 0, !state.isStopped { state.connections.insert(connection) }
                return state.isStopped
            }
            if isStopped {
                if connection >= 0 { close(connection) }
                close(listener)
                return
            }
            guard connection >= 0 else { continue }
            do throws(Errno) {
                try DedicatedThread.start(name: "test-connection") { self.serve(connection) }
            } catch {
                end(connection)
            }
        }
    }

    private func end(_ connection: Int32) {
        state.withLock { state in
            state.connections.remove(connection)
            close(connection)
        }
    }

    private func serve(_ connection: Int32) {
        defer { end(connection) }
        guard let request = HTTPRequest(from: connection) else { return }
        state.withLock { $0.requests += 1 }
        MisbehavingExchange(connection: connection, request: request, files: files, server: self).answer()
    }

    /// Returns when `count` requests have come in all, or the server stops.
    func waitAtBarrier(of count: Int) {
        while state.withLock({ $0.requests < count && !$0.isStopped }) { usleep(1000) }
    }

    /// Returns after ``release()``, or when the server stops.
    func waitForRelease() {
        state.withLock {
            $0.held += 1
            $0.mostHeld = max($0.mostHeld, $0.held)
        }
        while state.withLock({ !$0.isReleased && !$0.isStopped }) { usleep(1000) }
        state.withLock { $0.held -= 1 }
    }

    func countPart(bytes: Int) { state.withLock { $0.partBytes += bytes } }
}
