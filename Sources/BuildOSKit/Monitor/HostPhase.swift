/// Why a host reboots (BOOT-8, BOOT-9).
public enum RebootReason: Sendable, Hashable, CustomStringConvertible {
    /// The build id behind `buildos.buildid_url` is another one.
    case buildID(BuildID)
    /// A toolchain's checksums file changed, and the new files are whole; `version` is `nil` if it is now disabled.
    case toolchain(ToolchainName, version: String?)

    public var description: String {
        switch self {
        case .buildID(let id): "new OS, build id \(id)"
        case .toolchain(let name, let version?): "new files of toolchain \(name), version \(version)"
        case .toolchain(let name, nil): "toolchain \(name) was disabled"
        }
    }
}

/// How to go down.
public enum RebootRequest: Sendable, Hashable {
    /// Through the firmware.
    case firmware
    /// Straight into a kernel that was fetched and verified (BOOT-12).
    case kexec(kernel: FilePath, initrd: FilePath)
}

/// What a host as a whole is doing.
public enum HostPhase: Sendable, Hashable {
    /// Machine directories are being cleaned (MACH-6).
    case starting
    /// Toolchains are brought up, run and watched.
    case running
    /// Builds are left to end, until `deadline` (BOOT-11).
    case draining(RebootReason, deadline: MonitorInstant)
    /// The time for builds has passed: agents are stopped with whatever they are doing.
    case stoppingAgents(RebootReason)
    /// The new kernel is being fetched, for a reboot by kexec.
    case fetchingKernel(RebootReason)
    /// A random time is waited, so that a farm doesn't reboot in the same second (BOOT-11).
    case delaying(RebootReason, RebootRequest, until: MonitorInstant)
    /// The administrator is told.
    case announcing(RebootReason, RebootRequest)
    /// The system has been asked to reboot.
    case rebooting(RebootReason, RebootRequest, giveUp: MonitorInstant)
    /// It didn't; it is asked again at `nextTry`.
    case rebootFailed(RebootReason, Trouble, nextTry: MonitorInstant)
    /// The monitor ends without a reboot.
    case stopped

    /// The name in the status.
    public var name: String {
        switch self {
        case .starting: "starting"
        case .running: "running"
        case .draining: "draining"
        case .stoppingAgents: "stopping-agents"
        case .fetchingKernel: "fetching-kernel"
        case .delaying: "delaying"
        case .announcing: "announcing"
        case .rebooting: "rebooting"
        case .rebootFailed: "reboot-failed"
        case .stopped: "stopped"
        }
    }

    /// Why the host is about to reboot, if it is.
    public var reason: RebootReason? {
        switch self {
        case .starting, .running, .stopped: nil
        case .draining(let reason, _), .stoppingAgents(let reason), .fetchingKernel(let reason),
            .delaying(let reason, _, _), .announcing(let reason, _), .rebooting(let reason, _, _),
            .rebootFailed(let reason, _, _):
            reason
        }
    }

    /// When the phase ends by itself at the latest.
    public var deadline: MonitorInstant? {
        switch self {
        case .draining(_, let deadline): deadline
        case .delaying(_, _, let until): until
        case .rebooting(_, _, let giveUp): giveUp
        case .rebootFailed(_, _, let nextTry): nextTry
        case .starting, .running, .stoppingAgents, .fetchingKernel, .announcing, .stopped: nil
        }
    }
}
