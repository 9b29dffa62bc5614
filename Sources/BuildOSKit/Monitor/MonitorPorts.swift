/// Gets toolchains onto the host.
public protocol ToolchainPreparing: Sendable {
    /// Fetches, verifies and publishes a toolchain's files (TOOL-2, TOOL-3).
    func sync(_ toolchain: Toolchain) async -> ToolchainSyncOutcome

    /// Fetches and verifies a toolchain's files and throws them away: says whether a reboot would find them whole.
    func verify(_ toolchain: Toolchain) async -> ToolchainSyncOutcome

    /// Builds the toolchain and the bot package from the files that ``sync(_:)`` published last (TOOL-5), unless its
    /// agents are to be builtin ones: those need nothing built.
    ///
    /// - Returns: which agents it has now.
    func bootstrap(_ toolchain: Toolchain, _ synced: SyncedToolchain) async throws -> AgentChoice
}

/// Looks at what may change outside.
public protocol ChangeWatching: Sendable {
    /// The digest of a toolchain's checksums file as it is now (BOOT-9).
    ///
    /// - Throws: if there is no answer, or one that is no checksums file.
    func checksums(of toolchain: Toolchain) async throws -> Digest

    /// The build id that is to run (BOOT-8).
    ///
    /// - Throws: if there is no answer, or one that is no build id.
    func buildID(at url: ResourceURL) async throws -> BuildID

    /// Fetches the kernel and initrd beside the build id file, and verifies them by the checksums in it (BOOT-12).
    func fetchKernel(beside url: ResourceURL) async throws -> RebootRequest
}

/// Starts and stops agents (TOOL-7).
public protocol AgentControlling: Sendable {
    /// Starts every instance; one that runs already is left running.
    func start(_ toolchain: Toolchain, _ synced: SyncedToolchain, _ kind: AgentKind) async throws

    /// Stops every instance.
    func stop(_ toolchain: Toolchain) async throws

    /// Has builtin agents take no new tasks, those that start later included. Others know no such request.
    func drain(reason: String) async throws

    /// Takes back what ``drain(reason:)`` asked for, and nothing that an operator did.
    func endDrain() async throws

    /// How the instances are.
    func units(of toolchains: [Toolchain]) async throws -> [ToolchainName: [AgentUnitState]]
}

/// Looks after the directories of build machines.
public protocol MachineKeeping: Sendable {
    /// Removes strays (MACH-6).
    func clean() async throws -> MachineCleaningReport

    /// The builds that run.
    func inUse() async throws -> [MachineInUse]
}

/// Hands messages to the mail system.
public protocol MailSending: Sendable {
    /// Sends a whole message, headers included.
    func send(_ message: String) async throws

    /// Waits until all that was sent has left the host, or a bounded time has passed.
    func flush() async
}

/// Takes the host down.
public protocol HostControlling: Sendable {
    /// Asks the system to go down; returns when it has agreed.
    func reboot(_ request: RebootRequest) async throws

    /// Remembers across the reboot which build id it is for.
    func note(rebootFor id: BuildID) async throws
}

/// Shows the status.
public protocol StatusPublishing: Sendable {
    /// Replaces what was shown before.
    func publish(_ status: HostStatus) throws
}

/// Everything a monitor's engine works with.
public struct MonitorPorts: Sendable {
    /// Toolchains.
    public var toolchains: any ToolchainPreparing
    /// Watches.
    public var changes: any ChangeWatching
    /// Agents.
    public var agents: any AgentControlling
    /// Machine directories.
    public var machines: any MachineKeeping
    /// Mail.
    public var mail: any MailSending
    /// The host.
    public var host: any HostControlling
    /// The status.
    public var status: any StatusPublishing

    /// Puts the ports together.
    public init(
        toolchains: any ToolchainPreparing,
        changes: any ChangeWatching,
        agents: any AgentControlling,
        machines: any MachineKeeping,
        mail: any MailSending,
        host: any HostControlling,
        status: any StatusPublishing
    ) {
        self.toolchains = toolchains
        self.changes = changes
        self.agents = agents
        self.machines = machines
        self.mail = mail
        self.host = host
        self.status = status
    }
}
