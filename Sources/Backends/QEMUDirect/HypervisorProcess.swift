import BuildOSKit
import CProcess
import Glibc

/// A process of QEMU, started here or by somebody else.
final class HypervisorProcess: Sendable {
    /// How it ended, as far as it is known: whose child it isn't, doesn't learn more.
    enum End: Sendable, Equatable {
        case exited(Int32), signalled(Int32), unknown
    }

    let id: Int32
    private let descriptor: Int32
    private let isChild: Bool

    /// Refers to a process.
    ///
    /// - Throws: `Errno`, `ESRCH` if there is none.
    init(_ id: Int32, isChild: Bool) throws(Errno) {
        let descriptor = cprocess_open(id)
        guard descriptor >= 0 else { throw Errno(rawValue: -descriptor) }
        self.id = id
        self.descriptor = descriptor
        self.isChild = isChild
    }

    deinit { close(descriptor) }

    /// Kills it; no error if it is dead.
    func kill() { _ = cprocess_signal(descriptor, SIGKILL) }

    /// Blocks until it has ended; of a child, nothing is left then.
    func wait() -> End {
        var status: Int32 = 0
        if isChild {
            while waitpid(id, &status, 0) < 0 { guard errno == EINTR else { return .unknown } }
            let signal = status & 0x7f
            return signal == 0 ? .exited(status >> 8 & 0xff) : .signalled(signal)
        }
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while poll(&entry, 1, -1) < 0, errno == EINTR {}
        return .unknown
    }
}

/// A process of QEMU as it is to be started.
struct HypervisorLaunch: Sendable {
    let program: FilePath
    let arguments: [String]
    let workingDirectory: FilePath?
    /// What it says goes there.
    let log: FilePath
    /// Descriptors of this process that become the new one's 3, 4 and so on.
    let descriptors: [Int32]
    let nice: Int
    let affinity: CPUSet?

    /// Starts it, in a session of its own. A thread takes on the nice value and the CPUs, which the process inherits.
    func run() async throws(LaunchError) -> HypervisorProcess {
        let result: Result<HypervisorProcess, LaunchError> = await withCheckedContinuation { continuation in
            do throws(Errno) {
                try DedicatedThread.start(name: "qemu-launch") {
                    continuation.resume(returning: Result { () throws(LaunchError) in try launch() })
                }
            } catch {
                continuation.resume(returning: .failure(LaunchError(detail: "no thread: \(error)")))
            }
        }
        return try result.get()
    }

    private func launch() throws(LaunchError) -> HypervisorProcess {
        // setpriority(2): on Linux, zero is the calling thread, not the process.
        if nice != 0, setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, Int32(nice)) != 0 {
            throw LaunchError(
                detail: "can't set the nice value \(nice): \(Errno(rawValue: errno))",
                remedy: "values below 0 need root, or a limit on nice values that allows them"
            )
        }
        if let affinity {
            let reason = cprocess_set_affinity(affinity.cpus.map(Int32.init), affinity.cpus.count)
            guard reason == 0 else {
                throw LaunchError(
                    detail: "can't bind it to the CPUs \(affinity): \(Errno(rawValue: reason))",
                    remedy: "this machine must have one of them at least"
                )
            }
        }
        // Those of an agent, for devices and nice values: a guest that breaks out of QEMU must not find them.
        let reason = cprocess_drop_ambient_capabilities()
        guard reason == 0 else {
            throw LaunchError(detail: "can't take capabilities from it: \(Errno(rawValue: reason))")
        }
        // Out of the way of the numbers that they become.
        var sources: [Int32] = []
        defer { for source in sources { close(source) } }
        for descriptor in descriptors {
            let source = fcntl(descriptor, F_DUPFD_CLOEXEC, 64)
            guard source >= 0 else { throw LaunchError(detail: "no descriptor: \(Errno(rawValue: errno))") }
            sources.append(source)
        }
        return try spawn(sources)
    }

    /// What QEMU may know of this process's environment: what finds its files.
    private static var environment: [String] {
        ["PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR"].compactMap { name in
            HostProcess.environmentVariable(name).map { "\(name)=\($0)" }
        }
    }

    private func spawn(_ sources: [Int32]) throws(LaunchError) -> HypervisorProcess {
        var pointers: [UnsafeMutablePointer<CChar>?] = ([program.string] + arguments).map { strdup($0) } + [nil]
        var environment: [UnsafeMutablePointer<CChar>?] = Self.environment.map { strdup($0) } + [nil]
        defer { for pointer in pointers + environment { free(pointer) } }
        var id: pid_t = 0
        let reason = cprocess_spawn(
            program.string,
            &pointers,
            &environment,
            workingDirectory?.string,
            log.string,
            sources,
            sources.count,
            &id
        )
        guard reason == 0 else { throw LaunchError(detail: "\(program): \(Errno(rawValue: reason))") }
        do throws(Errno) {
            return try HypervisorProcess(id, isChild: true)
        } catch {
            Glibc.kill(id, SIGKILL)
            waitpid(id, nil, 0)
            throw LaunchError(detail: "no descriptor for the process: \(error)")
        }
    }
}

/// Why QEMU's process could not be made.
struct LaunchError: Error {
    let detail: String
    var remedy: String?
}
