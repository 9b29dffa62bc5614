/// Everything that the set-up writes on a host, from what was found there.
public struct HostPlan: Sendable, Hashable {
    /// What was found on the host before anything is written.
    public struct Facts: Sendable, Hashable {
        /// CPUs and RAM.
        public var machine: MachineResources
        /// How the state directory came out.
        public var state: StateMedium
        /// The machines' disks that are mounted.
        public var machines: [StorageMount]
        /// The Ethernet interface in `br0`.
        public var uplink: EthernetInterface?
        /// What `br0` was given.
        public var lease: DHCPLease?
        /// Whether the agents' key is on the state disk.
        public var hasAuthenticationKey: Bool

        /// Creates facts.
        public init(
            machine: MachineResources,
            state: StateMedium = .memory,
            machines: [StorageMount] = [],
            uplink: EthernetInterface? = nil,
            lease: DHCPLease? = nil,
            hasAuthenticationKey: Bool = false
        ) {
            self.machine = machine
            self.state = state
            self.machines = machines
            self.uplink = uplink
            self.lease = lease
            self.hasAuthenticationKey = hasAuthenticationKey
        }
    }

    /// The host's name.
    public let hostName: HostName
    /// The host's network.
    public let network: NetworkPlan
    /// How CPUs and RAM are shared out.
    public let sharing: ResourceSharing
    /// Every file to write.
    public let files: [HostFile]
    /// What the operator must hear about the configuration.
    public let reports: [HostReport]
    /// The lines about the configuration for the console.
    public let notices: [String]

    /// Plans what to write.
    public init(_ parsed: ParsedConfiguration, _ facts: Facts) {
        let configuration = parsed.configuration
        let hostName = HostName(lease: facts.lease, address: facts.uplink?.address)
        let network = NetworkPlan(uplink: facts.uplink, lease: facts.lease)
        let sharing = ResourcePlan.make(for: configuration, on: facts.machine)
        let notices = ErrorNotice.lines(parsed, resources: sharing.problems)

        var files = [StorageRendering.fstab(state: facts.state, machines: facts.machines)]
        files += network.files + hostName.files
        files += MailPlan(configuration, hostName: hostName).files
        files += SSHPlan.files(keys: configuration.sshKeys)
        if let plan = sharing.plan {
            files += AgentUnit.all(of: configuration).map {
                $0.dropIn(resources: plan, hasAuthenticationKey: facts.hasAuthenticationKey)
            }
        }
        files.append(ErrorNotice.greeting(hostName: hostName, lines: notices))
        if !notices.isEmpty { files.append(HostFile(ErrorNotice.file, notices.map { $0 + "\n" }.joined())) }

        self.hostName = hostName
        self.network = network
        self.sharing = sharing
        self.files = files
        self.notices = notices
        reports = ErrorNotice.reports(parsed, resources: sharing.problems)
    }
}
