import BuildOSKit
import Glibc

/// A client that says and hears a few words by a stream socket. Blocks: for ``DedicatedThread``.
struct SocketClient: ~Copyable {
    private let socket: Int32

    /// How long an answer may take.
    private static let patience = timeval(tv_sec: 30, tv_usec: 0)

    /// Connects to a TCP port of 127.0.0.1.
    init(port: Int) throws(Errno) {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(truncatingIfNeeded: port)).bigEndian
        address.sin_addr = in_addr(s_addr: in_addr_t(0x7f00_0001).bigEndian)
        socket = try Self.connect(AF_INET, &address)
    }

    /// Connects to a socket in the file system.
    init(path: FilePath) throws(Errno) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.string.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { throw .fileNameTooLong }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.string.utf8) }
        socket = try Self.connect(AF_UNIX, &address)
    }

    deinit { close(socket) }

    private static func connect<Address>(_ family: Int32, _ address: inout Address) throws(Errno) -> Int32 {
        let socket = Glibc.socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var patience = Self.patience
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        let outcome = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(socket, $0, socklen_t(MemoryLayout<Address>.size))
            }
        }
        guard outcome == 0 else {
            let reason = Errno(rawValue: errno)
            close(socket)
            throw reason
        }
        return socket
    }

    /// Says something.
    func say(_ text: String) {
        let bytes = Array(text.utf8)
        _ = send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// What is heard until a text comes, or the other side ends or says nothing for long.
    func hear(until text: String) -> String {
        var heard: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while !String(decoding: heard, as: UTF8.self).contains(text), heard.count < 1 << 20 {
            let count = recv(socket, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            heard.append(contentsOf: buffer[..<count])
        }
        return String(decoding: heard, as: UTF8.self)
    }

    /// A TCP port of 127.0.0.1 that nobody has at the moment, from 32768 up.
    static func freePort() throws -> Int {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr = in_addr(s_addr: in_addr_t(0x7f00_0001).bigEndian)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let outcome = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(socket, address, size) == 0 && getsockname(socket, address, &size) == 0
            }
        }
        guard outcome else { throw Errno(rawValue: errno) }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}
