/// Where a value of the configuration comes from.
public enum ValueOrigin: Sendable, Hashable {
    /// It was not given.
    case standard
    /// It was given on the command line, in the parameter that begins at this byte, counted from 1.
    case commandLine(column: Int)
}

/// A toolchain that the host is to bootstrap, and its agents (TOOL-6).
public struct Toolchain: Sendable, Hashable {
    /// Its name.
    public let name: ToolchainName
    /// Its number on this host, from 1 to 9: agents derive port numbers from it. `default` comes first, the others
    /// follow in the order of their URLs on the command line.
    public let number: Int
    /// Its checksums file.
    public let url: ResourceURL
    /// What its bootstrap trusts.
    public let trust: ToolchainTrust
    /// How many agents run, from 1 to 99.
    public let instances: Int
    /// Their nice value, from -20 to 19.
    public let nice: Int
    /// Their machines' bridge.
    public let bridge: Bridge
    /// Which agents it has; its own if they can be built, else this system's, if `nil`.
    public let agent: AgentKind?
    /// How long a build of a builtin agent may take (BOT-4).
    public let buildLimit: Duration
    /// For how long a builtin agent keeps a machine that failed, suspended, for an operator to log in (BOT-4); zero for
    /// not at all.
    public let holdOnFailure: Duration
    /// Whether a builtin agent takes tasks that stop somewhere for somebody to log in; their screens are public.
    public let interactive: InteractiveMode
    /// The controllers they ask, in the order given.
    public let controllers: [Controller]
    /// The certificates that tasks may ask to trust, in the order given.
    public let controllerTrust: [CertificateFingerprint]

    /// What ``buildLimit`` is if nothing is said.
    public static let standardBuildLimit = Duration.seconds(5400)

    /// Creates a toolchain.
    public init(
        name: ToolchainName = .default,
        number: Int = 1,
        url: ResourceURL,
        trust: ToolchainTrust = .no,
        instances: Int = 1,
        nice: Int = 0,
        bridge: Bridge = .br1,
        agent: AgentKind? = nil,
        buildLimit: Duration = Self.standardBuildLimit,
        holdOnFailure: Duration = .zero,
        interactive: InteractiveMode = .no,
        controllers: [Controller] = [],
        controllerTrust: [CertificateFingerprint] = []
    ) {
        self.name = name
        self.number = number
        self.url = url
        self.trust = trust
        self.instances = instances
        self.nice = nice
        self.bridge = bridge
        self.agent = agent
        self.buildLimit = buildLimit
        self.holdOnFailure = holdOnFailure
        self.interactive = interactive
        self.controllers = controllers
        self.controllerTrust = controllerTrust
    }
}

/// What a kernel command line says about a build host, with the standard value for all it does not say (CONF-1).
public struct HostConfiguration: Sendable, Hashable {
    /// The file that holds the build id of the OS to run; the host does not watch for a new OS if `nil`.
    public var buildIDURL: ResourceURL?
    /// The toolchains, by ``Toolchain/number``.
    public var toolchains: [Toolchain] = []
    /// The number of agents given for the toolchain `default` if its URL is missing, so that it does not exist.
    public var instancesWithoutToolchain: Int?

    /// By how much CPUs are shared out more than once.
    public var cpuOvercommit = OvercommitRatio.one
    /// The CPUs that agents may run on; all if `nil`.
    public var cpuAffinity: CPUSet?
    /// How many CPUs are kept for the OS.
    public var cpuReserved = 0
    /// The host's RAM; detected if `nil`.
    public var ramTotal: MemorySize?
    /// RAM kept for the OS.
    public var ramReserved = MemorySize(gibibytes: 4)
    /// RAM for auxiliary machines.
    public var ramAuxiliary = MemorySize(gibibytes: 0)

    /// Who gets the host's mail; nobody if `nil`.
    public var adminEmail: MailAddress?
    /// What mail is relayed through; it goes straight to the administrator's domain if `nil`.
    public var smtpRelay: RelayHost?
    /// Who may log in as user build.
    public var sshKeys: [AuthorizedKey] = []

    /// Time between looks at the build id and the checksums files.
    public var pollInterval: Duration = .seconds(60)
    /// Time that running builds get to end before a reboot.
    public var drainLimit: Duration = .seconds(3600)
    /// A reboot waits a random time of up to this.
    public var rebootSpread: Duration = .seconds(60)
    /// Time that the bootstrap of one toolchain may take.
    public var bootstrapLimit: Duration = .seconds(7200)
    /// How the host reboots.
    public var rebootMethod = RebootMethod.firmware

    /// Where the values come from: the name of the parameter as it stands on the command line without the name
    /// `default`, and one origin for each of its values.
    public var origins: [String: [ValueOrigin]] = [:]

    /// Creates a configuration in which nothing was given.
    public init() {}

    /// Whether nothing but standard values applies to a parameter.
    public func isStandard(_ parameter: Parameter, for toolchain: ToolchainName? = nil) -> Bool {
        origins[parameter.name(for: toolchain)] == nil
    }

    /// The toolchain of that name.
    public func toolchain(_ name: ToolchainName) -> Toolchain? { toolchains.first { $0.name == name } }
}

/// A command line and all that was found wrong with it.
public struct ParsedConfiguration: Sendable, Hashable {
    /// What holds: a parameter with an error has its standard value.
    public let configuration: HostConfiguration
    /// Everything that is wrong, in the order of the line (CONF-4).
    public let errors: [ConfigurationError]
    /// Everything that is hardly meant.
    public let warnings: [ConfigurationWarning]
}

extension HostConfiguration {
    /// The command line of the running kernel.
    public static let commandLineFile: FilePath = "/proc/cmdline"

    /// Understands a kernel command line; parameters of others are passed over.
    public static func parse(commandLine: String) -> ParsedConfiguration {
        parse(KernelCommandLine(commandLine))
    }

    /// Understands a kernel command line of any bytes.
    public static func parse(commandLine: some Sequence<UInt8>) -> ParsedConfiguration {
        parse(KernelCommandLine(bytes: commandLine))
    }

    /// Understands a kernel command line.
    public static func parse(_ line: KernelCommandLine) -> ParsedConfiguration {
        var parser = ConfigurationParser()
        parser.read(line)
        return parser.finish()
    }
}
