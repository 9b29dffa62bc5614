/// One instance of a toolchain's agent as a systemd service (TOOL-7).
public struct AgentUnit: Sendable, Hashable {
    /// Where toolchains are installed, each under its name.
    public static let toolchainsDirectory: FilePath = "/build/toolchains"
    /// The program whose subcommand `agent` is the builtin agent.
    public static let daemon: FilePath = "/usr/bin/buildosd"
    /// Where the monitor writes what is known of a toolchain only after its bootstrap.
    public static let environmentDirectory: FilePath = "/run/buildos/agents"
    /// The key by which controllers know the agent; an operator puts it on the state disk.
    public static let authenticationKey: FilePath = "/state/bbot/auth-key.pem"

    /// The toolchain.
    public let toolchain: Toolchain
    /// The instance, from 1.
    public let instance: Int
    /// Which agent it is.
    public let kind: AgentKind

    /// Creates a unit.
    public init(_ toolchain: Toolchain, instance: Int, kind: AgentKind) {
        self.toolchain = toolchain
        self.instance = instance
        self.kind = kind
    }

    /// All instances of all toolchains, of each agent that a toolchain may come to have.
    public static func all(of configuration: HostConfiguration) -> [AgentUnit] {
        configuration.toolchains.flatMap { toolchain in
            toolchain.possibleAgents.flatMap { kind in
                (1...toolchain.instances).map { AgentUnit(toolchain, instance: $0, kind: kind) }
            }
        }
    }

    /// `bbot-agent@<toolchain>-<instance>.service`, or `buildos-agent@…`
    public var name: String { Self.name(toolchain.name, instance: instance, kind: kind) }

    /// The unit of an instance of the toolchain of that name.
    public static func name(_ toolchain: ToolchainName, instance: Int, kind: AgentKind) -> String {
        "\(kind.unit)@\(toolchain)-\(instance).service"
    }

    /// The file with `BUILDOS_TOOLCHAIN_VERSION` and `BUILDOS_TOOLCHAIN_ID`.
    public static func environmentFile(_ toolchain: ToolchainName) -> FilePath {
        environmentDirectory.appending("\(toolchain).env")
    }

    /// The drop-in file with what the configuration says of this instance (RES-1 to RES-3, TOOL-6).
    public func dropIn(resources: ResourcePlan, hasAuthenticationKey: Bool) -> HostFile {
        var lines = [
            "# Made by 'buildosd init' at this boot.",
            "[Unit]",
            "Description=Build agent \(instance) of toolchain \(toolchain.name)",
            "[Service]",
            "EnvironmentFile=\(Self.environmentFile(toolchain.name))",
            "Nice=\(toolchain.nice)",
        ]
        if let affinity = resources.affinity { lines.append("CPUAffinity=\(affinity)") }
        let command =
            switch kind {
            case .bbot: bbotArguments(resources: resources, hasAuthenticationKey: hasAuthenticationKey)
            case .builtin: builtinArguments
            }
        lines += ["ExecStart=", "ExecStart=" + command.joined(separator: " ")]
        return HostFile(
            FilePath("/etc/systemd/system/\(name).d/buildos.conf"),
            lines.joined(separator: "\n") + "\n"
        )
    }

    /// The command line as it stands in the unit. What else there is to know, the agent reads from the kernel's.
    private var builtinArguments: [String] {
        [
            Self.daemon.string, "agent", "--toolchain", SystemdSyntax.argument(toolchain.name.text), "--instance",
            "\(instance)", "--stand-by",
        ]
    }

    /// The command line as it stands in the unit; options as bbot-agent(1) has them.
    private func bbotArguments(resources: ResourcePlan, hasAuthenticationKey: Bool) -> [String] {
        let program = Self.toolchainsDirectory.appending(toolchain.name.text).appending("bin").appending(kind.unit)
        var fixed: [(String, String)] = [
            ("--instance", "\(instance)"),
            ("--cpu", "\(resources.cpusPerSlice)"),
            ("--build-ram", "\(resources.buildRAM.kibibytes)"),
            ("--auxiliary-ram", "\(resources.auxiliaryRAM.kibibytes)"),
            ("--bridge", toolchain.bridge.rawValue),
        ]
        if hasAuthenticationKey { fixed.append(("--auth-key", Self.authenticationKey.string)) }
        fixed += toolchain.controllerTrust.map { ("--trust", $0.description) }
        return [
            SystemdSyntax.argument(program.string),
            "--toolchain-name", SystemdSyntax.argument(toolchain.name.text),
            "--toolchain-num", "\(toolchain.number)",
            "--toolchain-ver", SystemdSyntax.variable("BUILDOS_TOOLCHAIN_VERSION"),
            "--toolchain-id", SystemdSyntax.variable("BUILDOS_TOOLCHAIN_ID"),
        ] + fixed.flatMap { [$0.0, SystemdSyntax.argument($0.1)] }
            + toolchain.controllers.map { SystemdSyntax.argument($0.description) }
    }
}
