import BuildOSKit
import Glibc
import TestSupport

extension VirtualHost {
    /// What the power of a host on the lab's network hangs on.
    ///
    /// - Throws: ``LabError`` if it is off.
    func powerCord() throws -> PowerCord {
        let holders = Processes.all(withArguments: [shape.name, console.string])
        for holder in holders {
            if let machine = Processes.children(of: holder, named: "qemu-system-x86").first {
                return PowerCord(machine: machine, holder: holder)
            }
        }
        throw LabError("QEMU of \(shape.name) does not run")
    }
}

/// QEMU's process.
///
/// What it has handed to its disks' files is in the page cache of this machine, which lives on. So what is lost with it is
/// what the guest had in its own memory, page cache included, as when a real host's power is cut. (A disk that has a cache
/// of its own and ignores flushes could lose more; none does that which keeps what it promises.)
struct PowerCord: Sendable {
    fileprivate let machine: Int32
    /// nsenter(1), which waits for it, and stops and goes on with it.
    fileprivate let holder: Int32

    /// Cuts the power.
    func pull() { _ = kill(machine, SIGKILL) }

    /// Makes the host stand still from now on; ``still(_:)`` waits for that, and ends it.
    func hold() { _ = kill(machine, SIGSTOP) }

    /// Runs a closure while the host stands still: its disks are what they would be if the power had been cut.
    func still<Result>(_ body: () async throws -> Result) async throws -> Result {
        defer {
            _ = kill(holder, SIGCONT)
            _ = kill(machine, SIGCONT)
        }
        try await eventually("QEMU to stand still", within: .seconds(20), every: .milliseconds(2)) {
            // Again each time: a holder that is late to wake from the last time wakes QEMU, too.
            hold()
            return Processes.isStopped(machine) && Processes.isStopped(holder)
        }
        return try await body()
    }
}
