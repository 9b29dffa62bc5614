import Glibc

/// Calls on sockets of the UNIX domain (unix(7)).
enum UnixSocket {
    /// Connects to a socket in the file system, without ever waiting for its server.
    static func connect(to path: String) throws(QMPError) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < capacity, !path.utf8.contains(0) else {
            throw .cannotConnect("the path is longer than \(capacity - 1) bytes")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let socket = Glibc.socket(AF_UNIX, kind, 0)
        guard socket >= 0 else { throw .cannotConnect(String(cString: strerror(errno))) }
        let outcome = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard outcome == 0, fcntl(socket, F_SETFL, 0) == 0 else {
            let reason = String(cString: strerror(errno))
            close(socket)
            throw .cannotConnect(reason)
        }
        return socket
    }

    /// The process that listens, or has made, the other end.
    static func peerProcess(of socket: Int32) -> Int32? {
        // struct ucred: process, user and group, an int each.
        var credentials: [Int32] = [0, 0, 0]
        var size = socklen_t(12)
        guard getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0, credentials[0] > 0 else {
            return nil
        }
        return credentials[0]
    }

    /// Sends bytes, with the first of them a descriptor, if the other side has room for them now.
    static func send(_ bytes: [UInt8], descriptor: Int32?, to socket: Int32) throws(QMPError) {
        var sent = 0
        var descriptor = descriptor
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { rest in
                descriptor.map { send(rest, with: $0, to: socket) }
                    ?? Glibc.send(socket, rest.baseAddress, rest.count, Self.flags)
            }
            if count > 0 {
                sent += count
                descriptor = nil
            } else if errno == EAGAIN || errno == EWOULDBLOCK {
                throw .notReading
            } else if errno != EINTR {
                throw .closed
            }
        }
    }

    private static let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)

    private static func send(_ bytes: UnsafeRawBufferPointer, with descriptor: Int32, to socket: Int32) -> Int {
        var part = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
        // cmsg(3): the header, the descriptor, and padding to the header's alignment.
        let header = MemoryLayout<cmsghdr>.size
        let length = header + MemoryLayout<Int32>.size
        return withUnsafeTemporaryAllocation(byteCount: (length + 7) & ~7, alignment: 8) { control in
            control.initializeMemory(as: UInt8.self, repeating: 0)
            var head = cmsghdr()
            head.cmsg_len = length
            head.cmsg_level = SOL_SOCKET
            head.cmsg_type = Int32(SCM_RIGHTS)
            control.storeBytes(of: head, as: cmsghdr.self)
            control.storeBytes(of: descriptor, toByteOffset: header, as: Int32.self)
            return withUnsafeMutablePointer(to: &part) { part in
                var message = msghdr()
                message.msg_iov = part
                message.msg_iovlen = 1
                message.msg_control = control.baseAddress
                message.msg_controllen = control.count
                return sendmsg(socket, &message, Self.flags)
            }
        }
    }
}
