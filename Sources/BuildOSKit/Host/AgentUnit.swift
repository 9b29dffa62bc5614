/// One instance of a toolchain's agent as a systemd service (TOOL-7).
public struct AgentUnit: Sendable, Hashable {
    /// The agent program.
    public static let agent = "bbot-agent"
    /// Where toolchains are installed, each under its name.
    public static let toolchainsDirectory: FilePath = "/build/toolchains"
    /// Where the monitor writes what is known of a toolchain only after its bootstrap.
    public static let environmentDirectory: FilePath = "/run/buildos/agents"
    /// The key by which controllers know the agent; an operator puts it on the state disk.
    public static let authenticationKey: FilePath = "/state/bbot/auth-key.pem"

    /// The toolchain.
    public let toolchain: Toolchain
    /// The instance, from 1.
    public let instance: Int

    /// Creates a unit.
    public init(_ toolchain: Toolchain, instance: Int) {
        self.toolchain = toolchain
        self.instance = instance
    }

    /// All instances of all toolchains.
    public static func all(of configuration: HostConfiguration) -> [AgentUnit] {
        configuration.toolchains.flatMap { toolchain in
            (1...toolchain.instances).map { AgentUnit(toolchain, instance: $0) }
        }
    }

    /// `bbot-agent@<toolchain>-<instance>.service`
    public var name: String { Self.name(toolchain.name, instance: instance) }

    /// The unit of an instance of the toolchain of that name.
    public static func name(_ toolchain: ToolchainName, instance: Int) -> String {
        "\(agent)@\(toolchain)-\(instance).service"
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
        let command = arguments(resources: resources, hasAuthenticationKey: hasAuthenticationKey)
        lines += ["ExecStart=", "ExecStart=" + command.joined(separator: " ")]
        return HostFile(
            FilePath("/etc/systemd/system/\(name).d/buildos.conf"),
            lines.joined(separator: "\n") + "\n"
        )
    }

    /// The command line as it stands in the unit; options as bbot-agent(1) has them.
    private func arguments(resources: ResourcePlan, hasAuthenticationKey: Bool) -> [String] {
        let program = Self.toolchainsDirectory.appending(toolchain.name.text).appending("bin").appending(Self.agent)
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
