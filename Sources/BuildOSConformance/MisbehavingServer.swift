import BuildOSKit
import Glibc
import Synchronization

/// An HTTP server on 127.0.0.1 that answers by path, well or badly, for suites that need both.
///
/// `/a/N` N times the letter a; `/unsized/N` the same without a length; `/moved/N` N redirects, then a body;
/// `/loop`; `/to-file`; `/status/N`; `/cut`; `/stall`; `/silent`; `/endless`; `/endless-header`; `/versioned`, which
/// honours conditional requests; `/barrier/N`, which answers when N requests have come; `/files/…`, the files
/// of a directory. What follows in the path doesn't matter, so that it can end as a test needs it.
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
        guard let request = readRequest(connection) else { return }
        state.withLock { $0.requests += 1 }
        Exchange(connection: connection, request: request, files: files) { self.waitAtBarrier(of: $0) }.answer()
    }

    /// Returns when `count` requests have come in all, or the server stops.
    private func waitAtBarrier(of count: Int) {
        while state.withLock({ $0.requests < count && !$0.isStopped }) { usleep(1000) }
    }

    private func readRequest(_ connection: Int32) -> String? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while !bytes.suffix(4).elementsEqual("\r\n\r\n".utf8) {
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0, bytes.count < 65_536 else { return nil }
            bytes.append(contentsOf: buffer.prefix(count))
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// One request and its answer.
private struct Exchange {
    let connection: Int32
    let request: String
    let files: FilePath?
    let waitAtBarrier: (Int) -> Void

    private var path: String {
        let words = request.prefix { !$0.isNewline }.split(separator: " ")
        return words.count > 1 ? String(words[1]) : "/"
    }

    func answer() {
        let parts = path.split(separator: "/")
        let number = parts.dropFirst().first.flatMap { Int($0) } ?? 0
        switch parts.first {
        case "a": body(number)
        case "unsized":
            head("200 OK", [])
            letters(number)
        case "moved": number == 0 ? body(3) : redirect("/moved/\(number - 1)")
        case "loop": redirect("/loop")
        case "to-file": redirect("file:///etc/passwd")
        case "status": head("\(number) Made So", ["Content-Length: 4"], "gone")
        case "cut": head("200 OK", ["Content-Length: 1000"], String(repeating: "a", count: 500))
        case "stall":
            head("200 OK", ["Content-Length: 1000"], String(repeating: "a", count: 500))
            waitForPeer()
        case "silent": waitForPeer()
        case "endless":
            head("200 OK", [])
            while letters(65_536) {}
        case "endless-header":
            send("HTTP/1.1 200 OK\r\n")
            while send("X-Filler: \(String(repeating: "x", count: 1000))\r\n") {}
        case "versioned": versioned()
        case "files": file(parts.dropFirst().joined(separator: "/"))
        case "barrier":
            waitAtBarrier(number)
            body(1000)
        default: head("404 Not Found", ["Content-Length: 0"])
        }
    }

    private func versioned() {
        let lines = request.split(whereSeparator: \.isNewline)
        let isCurrent =
            lines.contains { $0.lowercased() == "if-none-match: \(MisbehavingServer.entityTag)" }
            || lines.contains { $0.lowercased() == "if-modified-since: \(MisbehavingServer.lastModified.lowercased())" }
        let validators = [
            "ETag: \(MisbehavingServer.entityTag)", "Last-Modified: \(MisbehavingServer.lastModified)",
        ]
        if isCurrent {
            head("304 Not Modified", validators)
        } else {
            head("200 OK", validators + ["Content-Length: 3"], "aaa")
        }
    }

    private func file(_ path: String) {
        guard let files, let relative = try? RelativePath(path),
            let bytes = try? FileTree.read(files.appending(relative.description), limit: 1 << 30)
        else { return head("404 Not Found", ["Content-Length: 0"]) }
        head("200 OK", ["Content-Length: \(bytes.count)"])
        _ = send(bytes)
    }

    private func redirect(_ location: String) {
        head("302 Found", ["Location: \(location)", "Content-Length: 4"], "else")
    }

    private func body(_ count: Int) {
        head("200 OK", ["Content-Length: \(count)"])
        letters(count)
    }

    private func head(_ status: String, _ headers: [String], _ body: String = "") {
        let lines = ["HTTP/1.1 \(status)", "Connection: close"] + headers
        send(lines.joined(separator: "\r\n") + "\r\n\r\n" + body)
    }

    @discardableResult
    private func letters(_ count: Int) -> Bool {
        var left = count
        while left > 0 {
            let piece = min(left, 65_536)
            guard send([UInt8](repeating: UInt8(ascii: "a"), count: piece)) else { return false }
            left -= piece
        }
        return true
    }

    @discardableResult
    private func send(_ text: String) -> Bool { send(Array(text.utf8)) }

    private func send(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// Until the client goes or the server stops.
    private func waitForPeer() {
        var byte: UInt8 = 0
        while recv(connection, &byte, 1, 0) > 0 {}
    }
}
