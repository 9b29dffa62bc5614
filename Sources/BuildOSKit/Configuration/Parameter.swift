/// The parameters of a build host on the kernel command line, each written `buildos.<name>` (CONF-1).
public enum Parameter: String, Sendable, Hashable, CaseIterable {
    case buildIDURL = "buildid_url"
    case toolchainURL = "toolchain_url"
    case toolchainTrust = "toolchain_trust"
    case instances
    case nice
    case bridge
    case agent
    case buildLimit = "build_limit"
    case holdOnFailure = "hold_on_failure"
    case interactive
    case controllerURL = "controller_url"
    case controllerTrust = "controller_trust"
    case cpuOvercommit = "cpu_overcommit"
    case cpuAffinity = "cpu_affinity"
    case cpuReserved = "cpu_reserved"
    case ramTotal = "ram_total"
    case ramReserved = "ram_reserved"
    case ramAuxiliary = "ram_auxiliary"
    case adminEmail = "admin_email"
    case smtpRelay = "smtp_relay"
    case sshKey = "ssh_key"
    case pollInterval = "poll_interval"
    case drainLimit = "drain_limit"
    case rebootSpread = "reboot_spread"
    case bootstrapLimit = "bootstrap_limit"
    case reboot

    /// What every parameter of a build host begins with.
    public static let prefix = "buildos."

    /// The name as it stands on the command line, for a toolchain if one is given.
    public func name(for toolchain: ToolchainName? = nil) -> String {
        guard takesToolchain, let toolchain, toolchain != .default else { return Self.prefix + rawValue }
        return "\(Self.prefix)\(rawValue).\(toolchain)"
    }

    /// Whether a toolchain's name may follow, after a dot (CONF-3).
    public var takesToolchain: Bool {
        switch self {
        case .toolchainURL, .toolchainTrust, .instances, .nice, .bridge, .agent, .buildLimit, .holdOnFailure,
            .interactive, .controllerURL, .controllerTrust:
            true
        default: false
        }
    }

    /// Whether it may be given more than once, each time adding a value.
    public var repeats: Bool {
        switch self {
        case .controllerURL, .controllerTrust, .sshKey: true
        default: false
        }
    }

    /// What it is for, in a line.
    public var summary: String {
        switch self {
        case .buildIDURL: "the host reboots when this file differs from its own build id"
        case .toolchainURL: "the checksums file of a toolchain; the toolchain exists if this is given"
        case .toolchainTrust: "the repository certificate that the toolchain's bootstrap trusts"
        case .instances: "how many agents the toolchain runs"
        case .nice: "the nice value of the toolchain's agents and their machines"
        case .bridge: "the bridge of the toolchain's machines: br0 is public, br1 private behind NAT"
        case .agent: "the toolchain's agents: its own (bbot) or this system's (builtin); its own if they can be built"
        case .buildLimit: "seconds that a build of a builtin agent may take"
        case .holdOnFailure: "seconds for which a builtin agent keeps a machine that failed, suspended, to log in"
        case .interactive:
            "whether builtin agents take tasks that stop for somebody to log in: those, the others, or both"
        case .controllerURL: "a controller that the toolchain's agents ask for tasks; may be repeated"
        case .controllerTrust: "a repository certificate that tasks may ask to trust; may be repeated"
        case .cpuOvercommit: "the ratio by which CPUs are shared out more than once"
        case .cpuAffinity: "the CPUs that agents and machines may run on"
        case .cpuReserved: "CPUs kept for the OS"
        case .ramTotal: "RAM of the host in GiB, where it cannot be detected"
        case .ramReserved: "RAM in GiB kept for the OS"
        case .ramAuxiliary: "RAM in GiB for auxiliary machines, shared out like the rest"
        case .adminEmail: "who gets the host's mail"
        case .smtpRelay: "the host that mail is relayed through, without authentication"
        case .sshKey: "a public key that may log in as user build; may be repeated"
        case .pollInterval: "seconds between looks at the build id and the checksums files"
        case .drainLimit: "seconds that running builds get to end before a reboot"
        case .rebootSpread: "a reboot waits a random time of up to this many seconds"
        case .bootstrapLimit: "seconds that the bootstrap of one toolchain may take"
        case .reboot: "how the host reboots: through the firmware, or straight into the new kernel"
        }
    }

    /// What values are accepted.
    public var accepts: String {
        switch self {
        case .buildIDURL: "a URL of http, https or tftp"
        case .toolchainURL:
            "a URL of http, https, tftp or file whose path ends in .sha1, .sha224, .sha256, .sha384 or .sha512"
        case .toolchainTrust: "a SHA-256 fingerprint of 32 pairs of hex digits joined by ':', or yes, or no"
        case .instances: "a number from 1 to 99"
        case .nice: "a number from -20 to 19"
        case .bridge: "br0 or br1"
        case .agent: "bbot or builtin"
        case .buildLimit: "a number from 1 to 604800"
        case .holdOnFailure: "a number from 0 to 86400"
        case .interactive: "false, true or both"
        case .controllerURL: "a URL of http or https, after a priority of four or five digits and '=' if there is one"
        case .controllerTrust: "a SHA-256 fingerprint of 32 pairs of hex digits joined by ':'"
        case .cpuOvercommit: "a ratio of numbers from 1 to 1000, such as 3/2, or one such number"
        case .cpuAffinity: "CPU numbers and ranges joined by commas, such as 0,2-3"
        case .cpuReserved: "a number from 0 to 8191"
        case .ramTotal: "GiB greater than 0, such as 64 or 1.5"
        case .ramReserved, .ramAuxiliary: "GiB, such as 4 or 0.5"
        case .adminEmail: "an address such as admin@example.org"
        case .smtpRelay: "a host name or an address, with :port if it isn't 25"
        case .sshKey: "a public key in quotes: \"ssh-ed25519 AAAA... user@host\""
        case .pollInterval: "a number from 1 to 86400"
        case .drainLimit, .rebootSpread: "a number from 0 to 86400"
        case .bootstrapLimit: "a number from 1 to 604800"
        case .reboot: "firmware or kexec"
        }
    }
}
