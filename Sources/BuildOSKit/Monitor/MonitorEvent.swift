/// How getting a toolchain's files ended.
public enum ToolchainSyncOutcome: Sendable, Hashable {
    /// They are all there and verified.
    case ready(SyncedToolchain)
    /// The checksums file, of this digest, says `disabled`.
    case disabled(Digest)
    /// What was fetched is wrong: a checksum, a path, the checksums file itself.
    case refused(Trouble, checksums: Digest?)
    /// They could not be fetched or stored.
    case failed(Trouble, checksums: Digest?)
}

/// A temporary snapshot in which a build is going on.
public struct MachineInUse: Sendable, Hashable {
    /// The snapshot's name.
    public let snapshot: String
    /// The toolchain whose agent made it.
    public let toolchain: ToolchainName

    /// Creates a description.
    public init(snapshot: String, toolchain: ToolchainName) {
        self.snapshot = snapshot
        self.toolchain = toolchain
    }
}

/// What cleaning the machine directories came to (MACH-6).
public struct MachineCleaningReport: Sendable, Hashable, Codable {
    /// What was removed, by path.
    public var removed: [String]
    /// What could not be looked at or removed, and what else looks wrong.
    public var problems: [String]

    /// Creates a report.
    public init(removed: [String] = [], problems: [String] = []) {
        self.removed = removed
        self.problems = problems
    }
}

/// Something that happened to a monitor.
public enum MonitorEvent: Sendable, Hashable {
    /// The monitor starts. What the host's set-up left to be reported comes with it.
    case started(reports: [Trouble])
    /// Time has passed.
    case tick
    /// Agents left by an earlier monitor were stopped, the machine directories cleaned.
    case prepared(Result<MachineCleaningReport, Trouble>)
    /// The files of a toolchain were got, or not.
    case synced(ToolchainName, ToolchainSyncOutcome)
    /// A toolchain was bootstrapped, as far as its agents need that, or not.
    case bootstrapped(ToolchainName, Result<AgentChoice, Trouble>)
    /// A toolchain's agents were started, or not all of them.
    case agentsStarted(ToolchainName, Trouble?)
    /// A toolchain's agents were stopped, or not all of them.
    case agentsStopped(ToolchainName, Trouble?)
    /// The units of all agents, as systemd shows them.
    case agentsSeen([ToolchainName: [AgentUnitState]])
    /// A toolchain's checksums file has this digest.
    case checksumsSeen(ToolchainName, Result<Digest, Trouble>)
    /// The files announced by a changed checksums file were fetched beside the running ones, or not.
    case updateVerified(ToolchainName, ToolchainSyncOutcome)
    /// The watched build id file holds this.
    case buildIDSeen(Result<BuildID, Trouble>)
    /// What builds run.
    case machinesInUse(Result<[MachineInUse], Trouble>)
    /// The new kernel was fetched and verified, or not.
    case kernelFetched(Result<RebootRequest, Trouble>)
    /// The mail about the reboot is out, or was given up.
    case announced
    /// The system refused to reboot.
    case rebootRefused(Trouble)
    /// The service is being stopped.
    case stopping
}

/// Something a monitor has to do.
public enum MonitorEffect: Sendable, Hashable {
    /// Stop agents that an earlier monitor left, clean the machine directories.
    case prepare
    /// Fetch, verify and publish a toolchain's files.
    case sync(Toolchain)
    /// Build the toolchain and the bot package.
    case bootstrap(Toolchain, SyncedToolchain)
    /// Start all agents of a toolchain.
    case startAgents(Toolchain, SyncedToolchain, AgentKind)
    /// Have agents take no new tasks; the reason is for who looks at them.
    case drainAgents(reason: String)
    /// Stop all agents of a toolchain.
    case stopAgents(Toolchain)
    /// See how the agents' units are.
    case lookAtAgents
    /// See whether a toolchain's checksums file is still the one of this digest.
    case lookAtChecksums(Toolchain)
    /// Fetch and verify a toolchain's new files without publishing them.
    case verifyUpdate(Toolchain)
    /// See which build id is to run.
    case lookAtBuildID(ResourceURL)
    /// See which builds run.
    case lookAtMachines
    /// Fetch the kernel and initrd beside the build id file, and verify them.
    case fetchKernel(ResourceURL)
    /// Tell the administrator.
    case mail(MonitorMail)
    /// Note the build id that the host reboots for, if any, tell the administrator, and wait, for a bounded time,
    /// until the mail has left the host.
    case announce(MonitorMail, noting: BuildID?)
    /// Go down.
    case reboot(RebootRequest)
}
