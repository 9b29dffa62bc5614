import ArgumentParser
import BuildOSKit
import ServiceLifecycle
import UnixSignals

/// `buildosd monitor`: brings up toolchains and agents, watches for changes, reboots (BOOT-5).
struct MonitorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "monitor",
        abstract: "Bring up toolchains and agents, watch for changes, reboot for them.",
        discussion: """
            Runs as a service, as user build. What it is doing is in /run/buildos/status.json, which 'buildosctl status' \
            shows. Ends on SIGTERM; agents run on.
            """
    )

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

    func run() async throws {
        LoggingSystem.bootstrap { JournalLog(label: $0) }
        let logger = Logger(label: "monitor")
        let modules = ModuleLoader.loadAll(.current(commandLine: modulePath))
        for problem in modules.problems { logger.error("\(problem)") }
        let setup = try await MonitorSetup(root: FilePath(root), registry: modules.registry, logger: logger)
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [.init(service: MonitorService(engine: setup.engine, reports: setup.reports))],
                gracefulShutdownSignals: [.sigterm, .sigint],
                logger: logger
            )
        )
        try await group.run()
    }
}

/// The monitor as a service: runs until the group is told to shut down.
private struct MonitorService: Service {
    let engine: MonitorEngine<ContinuousClock>
    let reports: [Trouble]

    func run() async throws {
        await cancelWhenGracefulShutdown { await engine.run(reports: reports) }
    }
}
