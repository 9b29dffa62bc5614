import BuildOSKit
import Glibc

/// Puts a host's monitor together from its configuration and the backends there are.
struct MonitorSetup {
    /// The monitor.
    let engine: MonitorEngine<ContinuousClock>
    /// What the host's set-up left to be reported.
    let reports: [Trouble]

    init(root: FilePath, registry: BackendRegistry, logger: Logger) async throws {
        func at(_ path: FilePath) -> FilePath { root.pushing(path.relative) }
        let parsed = HostConfiguration.parse(commandLine: try FileTree.read(at(HostConfiguration.commandLineFile)))
        let configuration = parsed.configuration
        let runningBuildID = (try? FileTree.readText(at("/usr/lib/buildos/buildid"))).flatMap {
            BuildID($0.prefix { !$0.isNewline })
        }
        let sharing = ResourcePlan.make(for: configuration, on: try MachineResources.detect())
        let names = Set(configuration.toolchains.map(\.name))

        let transport = try registry.makeTransport(to: .thisMachine)
        let fetcher = try registry.fetcher().makeFetcher()
        let layout = ToolchainLayout(base: at("/build"))
        let stores = try registry.artifactStore()
        let store = try stores.makeStore(root: at("/build/tftp/toolchains"))
        let trialStore = try stores.makeStore(root: at("/build/.updates"))
        try await store.recover()
        try await trialStore.recover()
        let builder = ToolchainBootstrap(transport: transport, layout: layout)
        do { try await builder.cleanUp(keeping: names) } catch { logger.error("\(error)") }

        var options = BootstrapOptions()
        options.timeLimit = configuration.bootstrapLimit
        let privileged = PrivilegedRunner(transport: transport)
        let obstacle = sharing.problems.first.map {
            Trouble(.agents, $0.subject, cause: $0.cause, remedy: $0.remedy)
        }
        let ports = MonitorPorts(
            toolchains: HostToolchains(
                fetcher: fetcher,
                store: store,
                trialStore: trialStore,
                builder: builder,
                options: options,
                logger: logger
            ),
            changes: FetchedChanges(
                fetcher: fetcher,
                store: trialStore,
                kexecDirectory: at(PrivilegedRequest.kexecDirectory)
            ),
            agents: SystemdAgents(
                transport: transport,
                privileged: privileged,
                environmentDirectory: at(AgentUnit.environmentDirectory),
                drainRequest: at(DrainRequest.standard),
                obstacle: obstacle
            ),
            machines: HostMachines(privileged: privileged, layout: MachineLayout(root: at("/build/machines"))),
            mail: SendmailMailer(transport: transport),
            host: HostPower(privileged: privileged),
            status: ReadinessNotice(
                StatusFile(at(StatusFile.standard)),
                socket: HostProcess.environmentVariable("NOTIFY_SOCKET")
            )
        )
        engine = MonitorEngine(
            machine: MonitorMachine(
                MonitorSettings(
                    configuration,
                    runningBuildID: runningBuildID,
                    lastReboot: RebootJournal(at(RebootJournal.standard)).last()
                ),
                seed: .random(in: .min ... .max)
            ),
            ports: ports,
            context: StatusContext(
                host: Self.hostName,
                processID: getpid(),
                slice: sharing.plan.map {
                    HostStatus.Slice(
                        cpus: $0.cpusPerSlice,
                        buildRamKiB: $0.buildRAM.kibibytes,
                        auxiliaryRamKiB: $0.auxiliaryRAM.kibibytes
                    )
                },
                configurationErrors: ErrorNotice.lines(parsed, resources: sharing.problems)
            ),
            clock: ContinuousClock(),
            logger: logger
        )
        reports = HostReport.read(from: at(HostReport.directory)).map { Trouble($0) }
    }

    static var hostName: String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return "localhost" }
        return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

extension FilePath {
    /// The path without its root.
    fileprivate var relative: FilePath { FilePath(root: nil, components) }
}
