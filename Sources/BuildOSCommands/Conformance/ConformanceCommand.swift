import ArgumentParser
import BuildOSConformance
import BuildOSKit
import Glibc

/// `buildosctl conformance`
struct ConformanceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "conformance",
        abstract: "Run the conformance suites on the backends of a module, yours or anybody's.",
        discussion: """
            Loads the one module, and checks each of its backends against what its interface promises. What this machine \
            or the options don't offer is passed over, with the reason; the options below say what there could be. As \
            root, a btrfs file system is made in a file for storages that are at home on it.

            Exits with 0 if no check failed, with 1 if one did, with 2 if there was nothing to check: the module could \
            not be loaded, or has no such backend or check.
            """
    )

    @Option(help: ArgumentHelp("The module, lib<Name>.so.", valueName: "file"))
    var module: String

    @Option(
        help: ArgumentHelp(
            "Only backends of this interface: \(BackendInterface.allCases.map(\.rawValue).joined(separator: ", ")).",
            valueName: "interface"
        )
    )
    var interface: BackendInterface?

    @Option(help: ArgumentHelp("Only the backend of this name.", valueName: "name"))
    var backend: String?

    @Option(help: ArgumentHelp("Only checks whose names hold this; may be repeated.", valueName: "text"))
    var check: [String] = []

    @Option(help: ArgumentHelp("Where checks make their files.", valueName: "directory"))
    var scratch = "/tmp"

    @Option(help: ArgumentHelp("A directory for storages to work in; may be repeated.", valueName: "directory"))
    var volume: [String] = []

    @Option(
        help: ArgumentHelp("A host for transports to log in to.", valueName: "[user@]host[:port]"),
        transform: RemoteHost.init(_:)
    )
    var host: RemoteHost?

    @Option(help: ArgumentHelp("The private key for it.", valueName: "file"))
    var identity: String?

    @Option(help: ArgumentHelp("The file that holds its host key.", valueName: "file"))
    var knownHosts: String?

    @Option(help: ArgumentHelp("The ssh_config(5) to read in place of the usual ones.", valueName: "file"))
    var sshConfig: String?

    @Option(
        help: ArgumentHelp("The test guest for virtual machines, of Scripts/make-test-guest.", valueName: "directory")
    )
    var guest: String?

    @Option(help: ArgumentHelp("Where virtual machines run, as the backend puts it.", valueName: "address"))
    var hypervisor: String?

    @Option(help: ArgumentHelp("How long a check may take.", valueName: "seconds"))
    var timeLimit = 120

    @Flag(help: "Count what this environment can't check as failed.")
    var requireAll = false

    @OptionGroup var modules: ModuleOptions
    @OptionGroup var format: FormatOptions

    func validate() throws {
        if timeLimit < 1 { throw ValidationError("--time-limit \(timeLimit): expected at least 1") }
        for directory in [scratch] + volume where !FileTree.isDirectory(FilePath(directory)) {
            throw ValidationError("'\(directory)': no such directory")
        }
        if host == nil, identity != nil || knownHosts != nil || sshConfig != nil {
            throw ValidationError("--identity, --known-hosts and --ssh-config are of no use without --host")
        }
    }

    func run() async throws {
        let inventory = ModuleLoader.load(FilePath(module))
        for problem in inventory.problems { complain("\(problem)") }
        let chosen = inventory.registry.providers.filter {
            (interface == nil || $0.identity.interface == interface) && (backend == nil || $0.identity.name == backend)
        }
        guard !chosen.isEmpty else {
            if inventory.problems.isEmpty {
                let names = inventory.registry.providers.map(\.identity.label)
                complain("\(module): no such backend (it has \(names.joined(separator: ", ")))")
            }
            throw ExitCode(2)
        }
        let listing = ConformanceListing(isQuiet: format.format == .json)
        let reports: [ConformanceReport]
        do {
            reports = try await cancelledByInterrupt {
                try await environment(for: chosen, of: inventory) { environment in
                    try await runSuites(of: chosen, in: environment, listing: listing)
                }
            }
        } catch is CancellationError {
            complain("Interrupted.")
            throw ExitCode(130)
        }
        if reports.allSatisfy({ $0.results.isEmpty && $0.skip == nil }) {
            complain("no check has a name like that")
            throw ExitCode(2)
        }
        if format.format == .json { try format.printJSON(reports.map(ConformanceRecord.init)) }
        let isIncomplete = requireAll && reports.contains { !$0.environmentSkips.isEmpty }
        if isIncomplete { complain("--require-all: something could not be checked in this environment") }
        if isIncomplete || reports.contains(where: { !$0.failures.isEmpty }) { throw ExitCode(1) }
    }

    private func isWanted(_ candidate: ConformanceCheck) -> Bool {
        check.isEmpty || check.contains { candidate.name.contains($0) }
    }

    private func runSuites(
        of providers: [any BackendProvider],
        in environment: ConformanceEnvironment,
        listing: ConformanceListing
    ) async throws -> [ConformanceReport] {
        let runner = ConformanceRunner(timeLimit: .seconds(timeLimit))
        var reports: [ConformanceReport] = []
        for provider in providers {
            listing.begin(provider.identity)
            let report = try await runner.run(
                provider,
                in: environment,
                observe: { listing.show($0) },
                where: isWanted
            )
            listing.conclude(report)
            reports.append(report)
        }
        return reports
    }

    /// What the options give; for a storage that none of the directories suits, a btrfs of its own where that can be made.
    private func environment<Result: Sendable>(
        for providers: [any BackendProvider],
        of inventory: ModuleInventory,
        _ body: @Sendable (ConformanceEnvironment) async throws -> Result
    ) async throws -> Result {
        var environment = givenEnvironment
        environment.localTransport = localTransport(besides: inventory)
        let given = environment
        var isHomeless = false
        for case let provider as any MachineStorageProvider in providers {
            do {
                if try await given.volume(for: provider.makeStorage()) == nil { isHomeless = true }
            } catch {
                // It goes wrong again, and is told, when the suite is made.
            }
        }
        guard isHomeless, geteuid() == 0, let transport = given.localTransport else { return try await body(given) }
        return try await withScratchBtrfs(in: given.scratch, by: transport) { volume in
            var environment = given
            environment.volumes.append(volume)
            return try await body(environment)
        }
    }

    private var givenEnvironment: ConformanceEnvironment {
        var remote = host
        if let identity { remote?.identityFiles = [FilePath(identity)] }
        if let knownHosts { remote?.knownHostsFiles = [FilePath(knownHosts)] }
        if let sshConfig { remote?.configurationFile = FilePath(sshConfig) }
        return ConformanceEnvironment(
            scratch: FilePath(scratch),
            volumes: volume.map { FilePath($0) },
            remoteHost: remote,
            guest: guest.map { ConformanceEnvironment.Guest(in: FilePath($0)) },
            hypervisor: hypervisor
        )
    }

    /// The module's own transport, or the installed one: two modules of one name never share a process.
    private func localTransport(besides inventory: ModuleInventory) -> (any Transport)? {
        if let own = try? inventory.registry.makeTransport(to: .thisMachine) { return own }
        let name = "LocalTransport"
        guard !inventory.modules.contains(where: { $0.name == name }) else { return nil }
        let others = ModuleLoader.loadAll(.current(commandLine: modules.modulePath), named: [name])
        return try? others.registry.makeTransport(to: .thisMachine)
    }

    private func complain(_ text: String) {
        _ = try? FileDescriptor.standardError.writeAll("buildosctl conformance: \(text)\n".utf8)
    }
}

extension BackendInterface: ExpressibleByArgument {}

extension BackendIdentity {
    /// `name (interface)`
    var label: String { "\(name) (\(interface.rawValue))" }
}
