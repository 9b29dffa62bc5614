import BuildOSKit
import CSSH2
import Glibc

/// The bytes between a session and its socket.
///
/// libssh2 never sees a full socket: once a packet is half sent, it insists that the very same call be repeated before
/// any other, which many channels over one session can't promise. What the socket doesn't take waits here, and channels
/// stop writing when it is much. It also saves system calls, as many packets go out in one.
final class SocketBuffers {
    let descriptor: Int32
    /// When bytes last came.
    private(set) var lastReceived = ContinuousClock.now
    /// Whether the other side has closed, or the socket failed.
    private(set) var isBroken = false
    /// Why it failed; `nil` if it was closed in order.
    private(set) var failure: Errno?

    private var outgoing: [UInt8] = []
    private var sent = 0
    private var incoming: [UInt8]
    private var unread: Range<Int> = 0..<0
    private var hasGiven = false

    private static let enough = 1 << 20
    private static let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)

    /// - Parameter descriptor: a connected socket; closed with this.
    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        incoming = [UInt8](repeating: 0, count: 256 << 10)
    }

    deinit { close(descriptor) }

    var hasOutgoing: Bool { sent < outgoing.count }
    /// Whether channels should wait until the socket has taken some.
    var isFull: Bool { outgoing.count - sent >= Self.enough }

    /// Makes a session whose bytes go through here; it must not outlive this object.
    func makeSession() -> OpaquePointer? {
        cssh2_session(
            { socket, bytes, count, _, context in
                guard let bytes, let buffers = SocketBuffers.from(context) else { return -Int(EBADF) }
                // What it has to say to an agent goes the same way.
                guard socket == buffers.descriptor else {
                    let count = retryingInterrupted { send(socket, bytes, count, Int32(MSG_NOSIGNAL)) }
                    return count < 0 ? -Int(errno) : count
                }
                return buffers.queue(UnsafeRawBufferPointer(start: bytes, count: count))
            },
            { socket, bytes, count, _, context in
                guard let bytes, let buffers = SocketBuffers.from(context) else { return -Int(EBADF) }
                guard socket == buffers.descriptor else {
                    let count = retryingInterrupted { recv(socket, bytes, count, 0) }
                    return count < 0 ? -Int(errno) : count
                }
                return buffers.take(UnsafeMutableRawBufferPointer(start: bytes, count: count))
            },
            Unmanaged.passUnretained(self).toOpaque()
        )
    }

    private static func from(_ context: UnsafeMutablePointer<UnsafeMutableRawPointer?>?) -> SocketBuffers? {
        guard let pointer = context?.pointee else { return nil }
        return Unmanaged<SocketBuffers>.fromOpaque(pointer).takeUnretainedValue()
    }

    private func queue(_ bytes: UnsafeRawBufferPointer) -> Int {
        if isBroken { return -Int(EPIPE) }
        outgoing.append(contentsOf: bytes)
        return bytes.count
    }

    private func take(_ bytes: UnsafeMutableRawBufferPointer) -> Int {
        if unread.isEmpty { receive() }
        guard !unread.isEmpty else { return isBroken ? 0 : -Int(EAGAIN) }
        let count = min(bytes.count, unread.count)
        incoming.withUnsafeBytes { incoming in
            bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: incoming[unread.prefix(count)]))
        }
        unread.removeFirst(count)
        hasGiven = true
        return count
    }

    /// Takes what has come into the buffer, unless there is something in it.
    func receive() {
        guard unread.isEmpty, !isBroken else { return }
        let descriptor = descriptor
        let count = incoming.withUnsafeMutableBytes { incoming in
            retryingInterrupted { recv(descriptor, incoming.baseAddress, incoming.count, Self.flags) }
        }
        if count > 0 {
            unread = 0..<count
            lastReceived = .now
        } else if count == 0 {
            isBroken = true
        } else if errno != EAGAIN {
            fail()
        }
    }

    /// Whether the library took any bytes since this was last asked: on behalf of one channel, it may have put away
    /// what another one waits for.
    func takeHasGiven() -> Bool {
        defer { hasGiven = false }
        return hasGiven
    }

    /// Whether bytes have come that no channel has asked for yet.
    var hasUnread: Bool { !unread.isEmpty }

    /// Sends what the socket takes.
    func flush() {
        let descriptor = descriptor
        while hasOutgoing, !isBroken {
            let count = outgoing.withUnsafeBytes { bytes in
                let rest = UnsafeRawBufferPointer(rebasing: bytes[sent...])
                return retryingInterrupted { send(descriptor, rest.baseAddress, rest.count, Self.flags) }
            }
            if count < 0 {
                if errno != EAGAIN { fail() }
                break
            }
            sent += count
        }
        if sent == outgoing.count {
            outgoing.removeAll(keepingCapacity: true)
            sent = 0
        } else if sent >= Self.enough {
            outgoing.removeFirst(sent)
            sent = 0
        }
    }

    /// Lets every call of the library fail from now on, so that it frees a session without waiting for anybody.
    func abandon() { isBroken = true }

    private func fail() {
        failure = Errno(rawValue: errno)
        isBroken = true
    }
}

/// Repeats a system call as long as signals interrupt it.
func retryingInterrupted(_ call: () -> Int) -> Int {
    while true {
        let result = call()
        if result >= 0 || errno != EINTR { return result }
    }
}
