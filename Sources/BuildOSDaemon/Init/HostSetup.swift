import BuildOSKit
import Glibc

/// The set-up of a host, from the kernel's command line to files and mounts: what runs before systemd (BOOT-4).
struct HostSetup {
    let transport: any Transport
    let log: BootLog

    /// What stops a boot at a shell.
    struct Stop: Error {
        let message: String
    }

    /// Where what was said during the set-up can be read later.
    static let logFile: FilePath = "/run/buildos/boot.log"

    /// Sets the host up. `drivers` remembers which drivers are loaded already.
    func run(_ drivers: inout DriverSetup) async throws {
        let atOnce = drivers
        async let always: Void = atOnce.loadAlways()
        try FileTree.makeDirectory("/run/buildos")
        let parsed = HostConfiguration.parse(commandLine: try FileTree.read(HostConfiguration.commandLineFile))
        log.say("configuration: \(Self.summary(parsed))")

        await log.step("drivers") { "\(await drivers.loadNew()) kinds of devices" }

        let alreadyLoaded = drivers
        async let storage = setUpStorage(alreadyLoaded)
        async let network = setUpNetwork()
        let (stored, connected) = (try await storage, try await network)

        await always

        var facts = HostPlan.Facts(machine: try MachineResources.detect())
        facts.state = stored.state
        facts.machines = stored.machines
        facts.uplink = connected.uplink
        facts.lease = connected.lease
        facts.hasAuthenticationKey = FileTree.exists(AgentUnit.authenticationKey)
        let plan = HostPlan(parsed, facts)

        try await log.step("files") {
            try FileSetup(root: "").write(plan.files)
            try NameSetup.set(plan.hostName.name)
            return "\(plan.files.count) written, host name \(plan.hostName)"
        }
        setUpPrivateBridge(plan.network)
        for notice in plan.notices { log.say("configuration: \(notice)") }
        try leaveRecords(plan.reports + log.reports)
    }

    private func setUpStorage(_ loaded: DriverSetup) async throws -> StorageSetup.Outcome {
        var drivers = loaded
        var outcome = StorageSetup.Outcome()
        try await log.step("storage") {
            outcome = try await StorageSetup(transport: transport, log: log).run(&drivers)
            return Self.summary(outcome)
        }
        if !outcome.problems.isEmpty {
            throw Stop(
                message: StorageRendering.shellMessage(
                    problems: outcome.problems,
                    hasState: outcome.hasStateDisk,
                    devices: outcome.devices
                )
            )
        }
        if !outcome.hasStateDisk { try offerShell() }
        try await log.step("identity") { try await IdentitySetup(transport: transport, log: log).run() }
        return outcome
    }

    /// Somebody at the console may want to make a state disk; a host that has lost it boots all the same.
    private func offerShell() throws {
        let seconds = 10
        _ = try? FileDescriptor.standardOutput.writeAll(StorageRendering.stateOffer(seconds: seconds).utf8)
        if EmergencyShell.isAskedFor(within: seconds) {
            throw Stop(message: "\nLeave this shell (exit, or Ctrl-D) to reboot.\n")
        }
        log.report(
            HostReport(
                .storage,
                subject: "there is no state disk",
                text:
                    "No disk is labelled \(StoragePlan.stateLabel): SSH host keys and the like are new at every boot.\n"
                    + "To make one: \(StorageProblem(.noState).remedy ?? "")"
            )
        )
    }

    private func setUpNetwork() async throws -> NetworkSetup.Outcome {
        var outcome = NetworkSetup.Outcome()
        do {
            try await log.step("network") {
                outcome = try await NetworkSetup(transport: transport, log: log).run()
                let uplink = outcome.uplink.map { "br0 on \($0.name) (\($0.address))" } ?? "no Ethernet interface"
                return uplink + (outcome.lease.map { ", address \($0.address)" } ?? ", no address")
            }
        } catch {
            log.report(HostReport(.network, subject: "the network could not be set up", text: "\(error)"))
        }
        return outcome
    }

    private func setUpPrivateBridge(_ plan: NetworkPlan) {
        do {
            try NetworkSetup.setUpPrivateBridge(plan)
            log.say("private network: br1 is \(plan.privateNetwork)")
        } catch {
            log.report(HostReport(.network, subject: "the private network could not be set up", text: "\(error)"))
        }
    }

    private func leaveRecords(_ reports: [HostReport]) throws(FileError) {
        if !reports.isEmpty { try HostReport.write(reports) }
        try FileTree.write(log.text, to: Self.logFile)
    }

    private static func summary(_ parsed: ParsedConfiguration) -> String {
        let toolchains = parsed.configuration.toolchains.map(\.name.text)
        var parts = [toolchains.isEmpty ? "no toolchain" : "toolchains \(toolchains.joined(separator: ", "))"]
        if !parsed.errors.isEmpty { parts.append("errors: \(parsed.errors.count)") }
        if !parsed.warnings.isEmpty { parts.append("warnings: \(parsed.warnings.count)") }
        return parts.joined(separator: ", ")
    }

    private static func summary(_ outcome: StorageSetup.Outcome) -> String {
        let state =
            switch outcome.state {
            case .disk(let disk): "\(disk.devices[0]) at \(disk.mountPoint)"
            case .readOnlyDisk(let disk): "\(disk.devices[0]) at \(disk.mountPoint), read-only"
            case .memory: "RAM at \(StoragePlan.stateDirectory)"
            }
        let machines = outcome.machines.map { "\($0.devices.joined(separator: "+")) at \($0.mountPoint)" }
        return outcome.problems.isEmpty
            ? ([state] + machines).joined(separator: ", ")
            : outcome.problems.map(\.description).joined(separator: "; ")
    }
}
