import BuildOSKit
import Glibc
import Synchronization

/// Publishes a host's status, and tells systemd once that the monitor is ready: when the first status says that it has
/// got further than starting. What may wait for the monitor in the boot waits for that (`Type=notify`, sd_notify(3)).
final class ReadinessNotice: StatusPublishing {
    private let publisher: any StatusPublishing
    private let socket: String?
    private let isTold = Mutex(false)

    /// - Parameter socket: the value of `NOTIFY_SOCKET`; without one nobody is told.
    init(_ publisher: any StatusPublishing, socket: String?) {
        self.publisher = publisher
        self.socket = socket
    }

    func publish(_ status: HostStatus) throws {
        try publisher.publish(status)
        guard status.state != HostPhase.starting.name, let socket else { return }
        isTold.withLock { isTold in
            if !isTold { isTold = Self.send("READY=1", to: socket) }
        }
    }

    /// Sends a datagram to a UNIX socket, by path or, after an `@`, by abstract name.
    static func send(_ message: String, to name: String) -> Bool {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(name.utf8)
        if bytes.first == UInt8(ascii: "@") { bytes[0] = 0 }
        let room = MemoryLayout.size(ofValue: address.sun_path)
        guard !bytes.isEmpty, bytes.count < room else { return false }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size - room + bytes.count)

        let file = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard file >= 0 else { return false }
        defer { close(file) }
        let text = Array(message.utf8)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(file, text, text.count, Int32(MSG_NOSIGNAL), $0, length)
            }
        } == text.count
    }
}
