/// Where an agent keeps what.
public struct AgentPaths: Sendable, Hashable {
    /// The volumes of machines.
    public var machines: MachineLayout
    /// The directory of published toolchains, each under its name (TOOL-2).
    public var toolchainFiles: FilePath
    /// A directory of the instance's own, in RAM: sockets, files that live as long as a request.
    public var runtime: FilePath
    /// Locks between instances.
    public var locks: FilePath
    /// Where each instance writes its status.
    public var status: FilePath
    /// Results that could not be delivered yet; outlives a boot if there is a disk that does.
    public var spool: FilePath
    /// The request to take nothing new.
    public var drain: FilePath

    /// The directory of a guest's virtual machine.
    func runtime(of number: GuestNumber) -> FilePath {
        number.auxiliary == 0 ? runtime : runtime.appending("\(number.auxiliary)")
    }

    /// Those of a build host.
    ///
    /// - Parameter root: `/` on a host, another directory at a desk.
    public init(_ number: GuestNumber, root: FilePath = "/") {
        func at(_ path: String) -> FilePath { root.appending(path) }
        machines = MachineLayout(root: at("build/machines"))
        toolchainFiles = at("build/tftp/toolchains")
        runtime = at("run/buildos/agents/\(number.name)")
        locks = at("run/buildos/locks")
        status = at("run/buildos/agents")
        spool = at("state/bbot/spool")
        drain = at("run/buildos/drain.json")
    }
}

/// What an instance of the agent is and may.
public struct AgentSettings: Sendable, Hashable {
    /// Which instance of which toolchain.
    public var number: GuestNumber
    /// The host's name, which controllers show.
    public var host: String
    /// The toolchain's version.
    public var toolchainVersion: String
    /// The toolchain's id: a machine with another in it is bootstrapped again.
    public var toolchainID: String
    /// The bridge of the instance's machines.
    public var bridge: Bridge
    /// What they get of the host.
    public var resources: GuestResources
    /// RAM for auxiliary machines: for all that one task has together.
    public var auxiliaryMemory = MemorySize(kibibytes: 0)
    /// All CPUs of the host, for tasks of controllers with the priority digit F.
    public var hostCPUs: Int
    /// Who is asked for tasks.
    public var controllers: [Controller]
    /// The certificates that tasks may ask to trust.
    public var controllerTrust: [CertificateFingerprint]
    /// Whether tasks are taken that stop for somebody to log in.
    public var interactiveMode = InteractiveMode.no
    /// The host's address, for those who want to log in.
    public var publicAddress: String?
    /// How long a bootstrap may take.
    public var bootstrapLimits = GuestLimits.bootstrap
    /// How long a build may take.
    public var buildLimits = GuestLimits.build
    /// How long an auxiliary machine may take until it can be used.
    public var auxiliaryLimits = GuestLimits.auxiliary
    /// How often a guest that never asked for anything is started again.
    public var retries = 2
    /// The volume of a machine must have this much room for it to be used.
    public var minimumRoom: Int64 = 1 << 30
    /// Whether builds go on from a machine's saved memory where the backend can do that.
    public var startsWarm = true
    /// Whether a guest of the machine that was built in last stands by for the next task.
    public var standsBy = false
    /// Where everything is.
    public var paths: AgentPaths

    /// Creates settings.
    public init(
        number: GuestNumber,
        host: String,
        toolchainVersion: String,
        toolchainID: String,
        bridge: Bridge,
        resources: GuestResources,
        hostCPUs: Int,
        controllers: [Controller],
        controllerTrust: [CertificateFingerprint],
        paths: AgentPaths
    ) {
        self.number = number
        self.host = host
        self.toolchainVersion = toolchainVersion
        self.toolchainID = toolchainID
        self.bridge = bridge
        self.resources = resources
        self.hostCPUs = hostCPUs
        self.controllers = controllers
        self.controllerTrust = controllerTrust
        self.paths = paths
    }

    /// How one gets at the screen of an interactive build, as controllers show it.
    var interactiveLogin: String { "\(publicAddress ?? host):\(number.displayPort)" }

    /// By what a controller knows whether builds of another agent can be gone on with: the logic of this one.
    static let agentChecksum = "buildos-agent-1"
}
