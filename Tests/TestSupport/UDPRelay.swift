import BuildOSKit
import Glibc

/// Stands between UDP clients and a server on 127.0.0.1 and does to their packets what a test wants: loses, repeats,
/// reorders or falsifies them.
///
/// To a client it looks like the server, with a port of its own for every port that the server answers from.
public final class UDPRelay: Sendable {
    /// Where a packet goes.
    public enum Direction: Sendable { case toServer, toClient }

    /// What becomes of a packet: the packets that are sent in its place.
    public typealias Meddling = @Sendable (Direction, [UInt8]) -> [[UInt8]]

    /// The port that stands for the server's.
    public let port: UInt16
    private let signal: WakeSignal

    /// Starts a relay.
    public init(to server: UInt16, _ meddle: @escaping Meddling) throws {
        let signal = try WakeSignal(blocking: false)
        self.signal = signal
        let front = try Self.socket()
        port = front.port
        try DedicatedThread.start(name: "udp-relay") {
            var relay = Relay(front: front.descriptor, server: server, meddle)
            relay.run(until: signal.descriptor)
            withExtendedLifetime(signal) {}
        }
    }

    deinit { signal.raise() }

    /// A link that loses, repeats and reorders a share of all packets; the seed decides which.
    public static func lossy(seed: UInt64, loss: Double, repetition: Double, reordering: Double) -> Meddling {
        let link = LossyLink(seed: seed, loss: loss, repetition: repetition, reordering: reordering)
        return { link.pass($1, $0) }
    }

    fileprivate static func socket() throws(Errno) -> (descriptor: Int32, port: UInt16) {
        let descriptor = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        var size: Int32 = 4 << 20
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        var address = loopback(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard isBound else {
            let reason = Errno(rawValue: errno)
            close(descriptor)
            throw reason
        }
        return (descriptor, UInt16(bigEndian: address.sin_port))
    }

    fileprivate static func loopback(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        address.sin_port = port.bigEndian
        return address
    }
}

/// The relay's sockets, on its thread.
private struct Relay {
    private struct Pair: Hashable { let client, server: UInt16 }

    private let front: Int32
    private let meddle: UDPRelay.Meddling
    /// Of a socket that clients send to: the server's port that it stands for.
    private var standsFor: [Int32: UInt16]
    private var facing: [Pair: Int32] = [:]
    /// Of a client: the socket that stands for it, and back.
    private var upstream: [UInt16: Int32] = [:]
    private var clientOf: [Int32: UInt16] = [:]
    private var buffer = [UInt8](repeating: 0, count: 65_536)

    init(front: Int32, server: UInt16, _ meddle: @escaping UDPRelay.Meddling) {
        self.front = front
        self.meddle = meddle
        standsFor = [front: server]
    }

    mutating func run(until stop: Int32) {
        while true {
            let sockets = Array(standsFor.keys) + Array(clientOf.keys)
            var polled = ([stop] + sockets).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            guard poll(&polled, nfds_t(polled.count), -1) >= 0 || errno == EINTR else { break }
            if polled[0].revents != 0 { break }
            for socket in polled.dropFirst() where socket.revents != 0 { pass(socket.fd) }
        }
        for socket in Array(standsFor.keys) + Array(clientOf.keys) { close(socket) }
    }

    private mutating func pass(_ socket: Int32) {
        guard let (packet, port) = receive(socket) else { return }
        if let server = standsFor[socket] {
            guard let up = socketFor(client: port) else { return }
            for packet in meddle(.toServer, packet) { send(packet, up, to: server) }
        } else if let client = clientOf[socket] {
            guard let down = socketFor(Pair(client: client, server: port)) else { return }
            for packet in meddle(.toClient, packet) { send(packet, down, to: client) }
        }
    }

    private mutating func socketFor(client: UInt16) -> Int32? {
        if let socket = upstream[client] { return socket }
        guard let socket = try? UDPRelay.socket() else { return nil }
        upstream[client] = socket.descriptor
        clientOf[socket.descriptor] = client
        return socket.descriptor
    }

    private mutating func socketFor(_ pair: Pair) -> Int32? {
        if let socket = facing[pair] { return socket }
        guard let socket = try? UDPRelay.socket() else { return nil }
        facing[pair] = socket.descriptor
        standsFor[socket.descriptor] = pair.server
        return socket.descriptor
    }

    private mutating func receive(_ socket: Int32) -> ([UInt8], port: UInt16)? {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let count = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                recvfrom(socket, &buffer, buffer.count, Int32(MSG_DONTWAIT), $0, &length)
            }
        }
        guard count >= 0 else { return nil }
        return (Array(buffer.prefix(count)), UInt16(bigEndian: address.sin_port))
    }

    private func send(_ packet: [UInt8], _ socket: Int32, to port: UInt16) {
        var address = UDPRelay.loopback(port)
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = sendto(
                    socket,
                    packet,
                    packet.count,
                    Int32(MSG_NOSIGNAL),
                    $0,
                    socklen_t(MemoryLayout<sockaddr_in>.size)
                )
            }
        }
    }
}
