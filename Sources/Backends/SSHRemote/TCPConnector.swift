import BuildOSKit
import Glibc

/// Connects to a host's port, one address after the other.
struct TCPConnector {
    private let settings: HostSettings
    private let waiting: Waiting

    init(_ settings: HostSettings, _ waiting: Waiting) {
        self.settings = settings
        self.waiting = waiting
    }

    /// - Returns: a socket that never blocks, which the caller closes.
    func connect() throws(TransportError) -> Int32 {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(settings.hostName, String(settings.port), &hints, &list)
        guard code == 0 else { throw unreachable(String(cString: gai_strerror(code))) }
        defer { freeaddrinfo(list) }
        var reason = "it has no address"
        var next = list
        while let address = next?.pointee {
            switch try connect(to: address) {
            case .success(let socket): return socket
            case .failure(let errno): reason = errno.description
            }
            next = address.ai_next
        }
        throw unreachable(reason)
    }

    private func connect(to address: addrinfo) throws(TransportError) -> Result<Int32, Errno> {
        let kind = address.ai_socktype | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let socket = socket(address.ai_family, kind, address.ai_protocol)
        guard socket >= 0 else { return .failure(Errno(rawValue: errno)) }
        var one: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &one, size)
        if Glibc.connect(socket, address.ai_addr, address.ai_addrlen) != 0 {
            guard errno == EINPROGRESS else {
                defer { close(socket) }
                return .failure(Errno(rawValue: errno))
            }
            do throws(TransportError) { try waiting.wait(for: socket, Int32(POLLOUT)) } catch {
                close(socket)
                throw error
            }
            var reason: Int32 = 0
            var size = size
            getsockopt(socket, SOL_SOCKET, SO_ERROR, &reason, &size)
            guard reason == 0 else {
                close(socket)
                return .failure(Errno(rawValue: reason))
            }
        }
        return .success(socket)
    }

    private func unreachable(_ detail: String) -> TransportError {
        TransportError(.unreachable, subject: settings.description, detail: detail)
    }
}
