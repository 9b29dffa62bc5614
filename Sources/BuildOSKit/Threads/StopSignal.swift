import Glibc
import Synchronization

/// Ends work that waits for a descriptor on a thread of its own, from any other thread.
public final class StopSignal: Sendable {
    private let wake: WakeSignal
    private let raised = Atomic<Bool>(false)

    /// Makes a signal.
    ///
    /// - Throws: `Errno` of socketpair(2), such as `EMFILE` at the limit of open files.
    public init() throws(Errno) { wake = try WakeSignal(blocking: false) }

    /// Whether the work should end.
    public var isRaised: Bool { raised.load(ordering: .acquiring) }

    /// Ends the work; for good.
    public func raise() {
        raised.store(true, ordering: .releasing)
        wake.raise()
    }

    /// Waits until a descriptor can be read or written without blocking, or has failed.
    ///
    /// - Parameter events: as poll(2) takes them: `POLLIN` or `POLLOUT`.
    /// - Returns: whether to go on; `false` once the signal was raised.
    /// - Throws: `Errno` of poll(2).
    public func wait(for descriptor: FileDescriptor, _ events: Int32) throws(Errno) -> Bool {
        while !isRaised {
            var entries = (
                pollfd(fd: descriptor.rawValue, events: Int16(events), revents: 0),
                pollfd(fd: wake.descriptor, events: Int16(POLLIN), revents: 0)
            )
            let count = withUnsafeMutableBytes(of: &entries) { bytes in
                let entries = bytes.assumingMemoryBound(to: pollfd.self)
                return poll(entries.baseAddress, 2, -1)
            }
            if count < 0, errno != EINTR { throw Errno(rawValue: errno) }
            if count > 0, entries.0.revents != 0, entries.1.revents == 0 { return true }
        }
        return false
    }
}
