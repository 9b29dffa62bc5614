import BuildOSKit
import Glibc
import NIOCore

/// UDP sockets as the server wants them; NIO's own are inherited by programs that are started meanwhile.
enum UDPSocket {
    /// Makes a socket that is bound to an address, closed on exec(3), and never blocks.
    static func bound(to address: SocketAddress, receiveBuffer: Int = 0) throws(Errno) -> Int32 {
        let family =
            switch address.protocol {
            case .inet6: AF_INET6
            default: AF_INET
            }
        let kind = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let descriptor = socket(family, kind, 0)
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        var size = Int32(receiveBuffer)
        if size > 0 {
            // As much of it as the system allows.
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        guard address.withSockAddr({ bind(descriptor, $0, socklen_t($1)) }) == 0 else {
            let reason = Errno(rawValue: errno)
            close(descriptor)
            throw reason
        }
        return descriptor
    }

    /// Sends one packet from an address, by a socket that is made for it. Lost, like any packet, if that fails.
    static func send(_ packet: TFTPPacket, from local: SocketAddress, to client: SocketAddress) {
        guard let descriptor = try? bound(to: local) else { return }
        defer { close(descriptor) }
        let bytes = packet.encoded
        _ = client.withSockAddr { sendto(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, socklen_t($1)) }
    }
}

extension Duration {
    /// Now, since the same moment as all such points in time of this process.
    static var uptime: Duration { .nanoseconds(Int64(clamping: NIODeadline.now().uptimeNanoseconds)) }
}

extension NIODeadline {
    /// A point in time that is given like ``Swift/Duration/uptime``.
    init(_ uptime: Duration) {
        let parts = uptime.components
        let nanoseconds = parts.seconds * 1_000_000_000 + parts.attoseconds / 1_000_000_000
        self = .uptimeNanoseconds(UInt64(max(0, nanoseconds)))
    }
}
