import ArgumentParser
import BuildOSKit
import ServiceLifecycle
import UnixSignals

/// `buildosd agent`: one instance of a toolchain's agent (BOT-1 to BOT-4).
struct AgentCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "agent",
        abstract: "Keep machines bootstrapped, ask controllers for tasks, build them in one-shot machines.",
        discussion: """
            The monitor starts it where buildos.agent says builtin, or where the toolchain's own agent can't be built. By hand \
            it needs root, or CAP_NET_ADMIN and CAP_SYS_NICE. 'buildosctl status' shows what an instance is doing, and if \
            nothing, why; it is in /run/buildos/agents/<toolchain>-<instance>.json. On SIGTERM it ends its build, reports \
            it as interrupted, and removes all that belonged to it.
            """
    )

    @Option(help: ArgumentHelp("The toolchain, as the kernel command line names it.", valueName: "name"))
    var toolchain: String

    @Option(help: ArgumentHelp("Which of the toolchain's instances, from 1.", valueName: "number"))
    var instance: Int

    @Option(
        help: ArgumentHelp(
            "The toolchain's version; BUILDOS_TOOLCHAIN_VERSION if it isn't given.",
            valueName: "version"
        )
    )
    var toolchainVersion: String?

    @Option(help: ArgumentHelp("The toolchain's id; BUILDOS_TOOLCHAIN_ID if it isn't given.", valueName: "id"))
    var toolchainID: String?

    @Option(help: ArgumentHelp("The backend that runs machines; the first one found.", valueName: "name"))
    var virtualMachines: String?

    @Option(
        help: ArgumentHelp(
            "The hypervisor, by the backend's own syntax: libvirt's connection URI, the path of a QEMU program.",
            valueName: "address"
        )
    )
    var hypervisor: String?

    @Option(
        help: ArgumentHelp("Seconds until controllers without a task are asked again, at least.", valueName: "seconds")
    )
    var pollInterval = 50

    @Option(
        help: ArgumentHelp(
            "Most seconds from a machine's start to its first request; it is started again then, twice. 240 for a build and "
                + "300 for a bootstrap if it isn't given.",
            valueName: "seconds"
        )
    )
    var startupTimeout: Int?

    @Option(
        help: ArgumentHelp(
            "Most seconds from a build's first request to its result; buildos.build_limit if it isn't given.",
            valueName: "seconds"
        )
    )
    var buildTimeout: Int?

    @Option(help: ArgumentHelp("Most seconds from a bootstrap's first request to its end.", valueName: "seconds"))
    var bootstrapTimeout = 3600

    @Option(
        help: ArgumentHelp(
            "Keep a machine that failed suspended for this many seconds, for somebody to log in; buildos.hold_on_failure "
                + "if it isn't given.",
            valueName: "seconds"
        )
    )
    var holdOnFailure: Int?

    @Flag(help: "Have a guest of the machine that was built in last stand by, with its memory read, for the next task.")
    var standBy = false

    @Flag(help: "Boot a machine for every build, instead of going on from its saved memory.")
    var cold = false

    @Option(
        help: ArgumentHelp(
            "Take this directory for the root of the file system, to try things out at a desk.",
            valueName: "directory"
        )
    )
    var root = "/"

    @Option(
        name: .customLong("module-path"),
        help: ArgumentHelp("Search this directory for backend modules first; may be repeated.", valueName: "directory")
    )
    var modulePath: [String] = []

    func validate() throws {
        for (name, value) in [
            ("--build-timeout", buildTimeout ?? 1), ("--bootstrap-timeout", bootstrapTimeout),
            ("--startup-timeout", startupTimeout ?? 1), ("--poll-interval", pollInterval),
        ]
        where !(1...86400).contains(value) {
            throw ValidationError("\(name): from 1 to 86400 seconds")
        }
        if let holdOnFailure, !(1...86400).contains(holdOnFailure) {
            throw ValidationError("--hold-on-failure: from 1 to 86400 seconds")
        }
    }

    func run() async throws {
        LoggingSystem.bootstrap { JournalLog(label: $0) }
        let logger = Logger(label: "agent")
        do { try DelegatedCgroup.settle() } catch { logger.warning("machines run without a limit of memory: \(error)") }
        let modules = ModuleLoader.loadAll(.current(commandLine: modulePath))
        for problem in modules.problems { logger.error("\(problem)") }
        let setup = AgentSetup(root: FilePath(root), registry: modules.registry, logger: logger)
        let agent = try await setup.agent(
            toolchain: try ToolchainName(toolchain),
            instance: instance,
            version: try Self.given(toolchainVersion, or: "BUILDOS_TOOLCHAIN_VERSION", "--toolchain-version"),
            id: try Self.given(toolchainID, or: "BUILDOS_TOOLCHAIN_ID", "--toolchain-id"),
            machines: AgentSetup.Machines(backend: virtualMachines, hypervisor: hypervisor),
            startsWarm: !cold,
            standsBy: standBy,
            limits: AgentSetup.Limits(
                poll: .seconds(pollInterval),
                startUp: startupTimeout.map { .seconds($0) },
                bootstrap: .seconds(bootstrapTimeout),
                build: buildTimeout.map { .seconds($0) },
                hold: holdOnFailure.map { .seconds($0) }
            )
        )
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [.init(service: AgentService(agent: agent))],
                gracefulShutdownSignals: [.sigterm, .sigint],
                logger: logger
            )
        )
        try await group.run()
    }

    private static func given(_ option: String?, or variable: String, _ name: String) throws -> String {
        if let value = option ?? HostProcess.environmentVariable(variable), !value.isEmpty { return value }
        throw ValidationError("give \(name), or set \(variable)")
    }
}

/// The agent as a service: runs until the group is told to shut down.
private struct AgentService: Service {
    let agent: BuildAgent

    func run() async throws { await cancelWhenGracefulShutdown { await agent.run() } }
}
