import BuildOSKit
import FoundationEssentials
import Glibc

/// Puts an agent together from its host's configuration and the backends there are.
struct AgentSetup {
    let root: FilePath
    let registry: BackendRegistry
    let logger: Logger

    /// What an operator may set of an agent's times.
    struct Limits {
        let poll: Duration
        /// As build2's own agent has it, if `nil`.
        let startUp: Duration?
        let bootstrap: Duration
        /// As the kernel command line says, if `nil`.
        let build: Duration?
        let hold: Duration?
    }

    /// What runs machines.
    struct Machines {
        /// The first backend found, if `nil`.
        let backend: String?
        /// The backend's usual one, if `nil`.
        let hypervisor: String?
    }

    func agent(
        toolchain name: ToolchainName,
        instance: Int,
        version: String,
        id: String,
        machines: Machines,
        startsWarm: Bool,
        standsBy: Bool,
        limits: Limits
    ) async throws -> BuildAgent {
        let line = root.pushing(FilePath(root: nil, HostConfiguration.commandLineFile.components))
        let configuration = HostConfiguration.parse(commandLine: try FileTree.read(line)).configuration
        guard let toolchain = configuration.toolchain(name),
            let number = GuestNumber(name, number: toolchain.number, instance: instance),
            instance <= toolchain.instances
        else {
            throw MonitorSetupError(
                subject: "agent \(name)-\(instance)",
                cause: "the kernel command line has no such instance",
                remedy: "see 'buildosctl config check'"
            )
        }
        let detected = try MachineResources.detect()
        let sharing = ResourcePlan.make(for: configuration, on: detected)
        guard let plan = sharing.plan else {
            throw sharing.problems.first
                ?? ResourceProblem(
                    subject: "resources",
                    cause: "there is no instance to share them out to",
                    remedy: nil
                )
        }
        var settings = AgentSettings(
            number: number,
            host: MonitorSetup.hostName,
            toolchainVersion: version,
            toolchainID: id,
            bridge: toolchain.bridge,
            resources: GuestResources(
                cpus: plan.cpusPerSlice,
                memory: plan.buildRAM,
                affinity: plan.affinity,
                nice: toolchain.nice
            ),
            hostCPUs: detected.cpus,
            controllers: toolchain.controllers,
            controllerTrust: toolchain.controllerTrust,
            paths: AgentPaths(number, root: root)
        )
        let hold = limits.hold ?? (toolchain.holdOnFailure == .zero ? nil : toolchain.holdOnFailure)
        settings.startsWarm = startsWarm
        settings.standsBy = standsBy
        settings.auxiliaryMemory = plan.auxiliaryRAM
        settings.interactiveMode = toolchain.interactive
        let transport = try registry.makeTransport(to: .thisMachine)
        if settings.interactiveMode != .no { settings.publicAddress = await Self.publicAddress(transport) }
        settings.bootstrapLimits.work = limits.bootstrap
        settings.bootstrapLimits.hold = hold
        if let startUp = limits.startUp {
            settings.bootstrapLimits.startUp = startUp
            settings.buildLimits.startUp = startUp
        }
        settings.buildLimits.work = limits.build ?? toolchain.buildLimit
        settings.buildLimits.hold = hold
        var controllers = ControllerSettings()
        controllers.pollPause = limits.poll
        return try BuildAgent(
            settings,
            ports: try await ports(settings, transport, machines),
            key: await key(transport),
            user: geteuid() == 0 ? nil : "build",
            controllerSettings: controllers,
            logger: logger
        )
    }

    private func ports(
        _ settings: AgentSettings,
        _ transport: any Transport,
        _ machines: Machines
    ) async throws -> AgentPorts {
        let volume = try? settings.paths.machines.volumes().first
        return AgentPorts(
            transport: transport,
            fetcher: try registry.fetcher().makeFetcher(),
            store: try registry.artifactStore(named: "tftp").makeStore(
                root: settings.paths.runtime.appending("served")
            ),
            storage: try await registry.machineStorage(holding: volume ?? settings.paths.machines.root),
            machines: try registry.virtualMachines(named: machines.backend)
                .makeVirtualMachines(VirtualMachineOptions(connection: machines.hypervisor)),
            mail: SendmailMailer(transport: transport)
        )
    }

    /// The host's key, made at the first start of an agent; controllers that authenticate hosts must be told of it.
    private func key(_ transport: any Transport) async -> AgentKey? {
        let file = root.pushing(FilePath(root: nil, AgentUnit.authenticationKey.components))
        do {
            let key = try await AgentKey.loadOrMake(file, by: transport)
            logger.info("controllers know this host by the key with the fingerprint \(key.fingerprint)")
            return key
        } catch {
            logger.error("controllers can't be told who this host is: \(error)")
            return nil
        }
    }

    /// The address from which this host speaks to others; `nil` if it has no way to any.
    private static func publicAddress(_ transport: any Transport) async -> String? {
        struct Route: Decodable { let prefsrc: String }
        // An address that nobody has (RFC 5737): only the route to it is asked for.
        let command = Command("ip", ["-json", "route", "get", "192.0.2.1"])
        guard let shown = try? await transport.check(command, timeLimit: .seconds(10)).output else { return nil }
        return try? JSONDecoder().decode([Route].self, from: Data(shown)).first?.prefsrc
    }
}
