import Glibc

/// Wakes a thread that waits in poll(2) or read(2) on a descriptor.
///
/// A pair of sockets, as these can be made close-on-exec in one step from Swift, which a pipe can't.
public final class WakeSignal: Sendable {
    /// Becomes readable when the signal is raised.
    public let descriptor: Int32
    private let raisingEnd: Int32
    private let isBlocking: Bool

    /// Makes a signal.
    ///
    /// - Parameter blocking: whether ``wait()`` waits for the signal, or only takes it.
    /// - Throws: `Errno` of socketpair(2), such as `EMFILE` at the limit of open files.
    public init(blocking: Bool) throws(Errno) {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw Errno(rawValue: errno) }
        descriptor = ends[0]
        raisingEnd = ends[1]
        isBlocking = blocking
    }

    deinit {
        close(descriptor)
        close(raisingEnd)
    }

    /// Raises the signal; from any thread. Never blocks: a full socket is a raised signal.
    public func raise() {
        var byte: UInt8 = 1
        let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
        while send(raisingEnd, &byte, 1, flags) < 0, errno == EINTR {}
    }

    /// Takes the signal back, however often it was raised.
    public func wait() {
        var bytes = [UInt8](repeating: 0, count: 256)
        let flags = isBlocking ? 0 : Int32(MSG_DONTWAIT)
        while recv(descriptor, &bytes, bytes.count, flags) < 0, errno == EINTR {}
    }
}
