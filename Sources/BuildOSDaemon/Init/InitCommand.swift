import ArgumentParser
import BuildOSKit
import Glibc

/// `buildosd init`
struct InitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Set the host up, then become systemd: the first process after the initramfs.",
        discussion: """
            Reads the kernel command line, loads drivers, mounts the disks labelled buildos.*, brings the network up, \
            writes the files that systemd and its services read, and executes systemd. Each step is a line on the \
            console. Where it can't go on it says why and starts a shell; leaving the shell reboots.

            Anywhere but in process 1 it does nothing, except with --plan-only: then it writes the files that it would \
            write on a host under a directory, and touches nothing else.
            """
    )

    @Flag(help: "Write the files under --root, from the options, and do nothing else.")
    var planOnly = false

    @OptionGroup var plan: PlanOptions

    func run() async throws {
        if planOnly {
            try plan.write()
            return
        }
        guard getpid() == 1 else {
            throw ValidationError(
                "this is not process 1; 'buildosd init --plan-only --root DIR' shows what it would write."
            )
        }
        await Self.boot()
    }

    private static func boot() async -> Never {
        setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1)
        let log = BootLog()
        log.say("set-up starts")
        var drivers: DriverSetup?
        let message: String
        do {
            let modules = ModuleLoader.loadAll(named: ["LocalTransport"])
            for problem in modules.problems { log.say("modules: \(problem)") }
            let transport = try modules.registry.makeTransport(to: .thisMachine)
            var driverSetup = DriverSetup(transport)
            drivers = driverSetup
            try await HostSetup(transport: transport, log: log).run(&driverSetup)
            log.say("set-up done, starting systemd")
            message = failure("\(HandOver.program) could not be started: \(HandOver.toSystemd())")
        } catch let stop as HostSetup.Stop {
            message = stop.message
        } catch {
            message = failure("The set-up failed: \(error)")
        }
        await EmergencyShell.run(message, drivers: drivers)
    }

    private static func failure(_ text: String) -> String {
        "\n\(text)\n\nLeave this shell (exit, or Ctrl-D) to reboot.\n"
    }
}

/// What stands for a host in a dry run.
struct PlanOptions: ParsableArguments {
    @Option(help: ArgumentHelp("With --plan-only: where the files go.", valueName: "directory"))
    var root: String?

    @Option(help: ArgumentHelp("With --plan-only: the kernel command line.", valueName: "line"))
    var commandLine = ""

    @Option(help: ArgumentHelp("With --plan-only: CPUs of the host.", valueName: "n"))
    var cpus = 8

    @Option(help: ArgumentHelp("With --plan-only: RAM of the host in GiB.", valueName: "GiB"))
    var ram = 64

    @Option(help: ArgumentHelp("With --plan-only: the output of 'blkid -o export' on the host.", valueName: "file"))
    var blockDevices: String?

    @Option(help: ArgumentHelp("With --plan-only: the Ethernet interface.", valueName: "name=address"))
    var interface: String?

    @Option(help: ArgumentHelp("With --plan-only: a file of dhclient with the lease.", valueName: "file"))
    var lease: String?

    func validate() throws {
        guard cpus > 0, ram > 0 else { throw ValidationError("--cpus and --ram must be greater than 0.") }
    }

    func write() throws {
        guard let root else { throw ValidationError("--plan-only needs --root.") }
        var facts = HostPlan.Facts(machine: MachineResources(cpus: cpus, ram: MemorySize(gibibytes: ram)))
        if let blockDevices {
            let storage = StoragePlan(
                devices: BlockDevice.parse(blkidExport: try FileTree.readText(FilePath(blockDevices)))
            )
            for problem in storage.problems { print("storage: \(problem)") }
            facts.state = storage.state.map(StateMedium.disk) ?? .memory
            facts.machines = storage.machines
        }
        if let interface {
            let parts = interface.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, let address = try? MACAddress(parts[1]) else {
                throw ValidationError("--interface \(interface): give it as eth0=de:ad:be:ef:b8:da.")
            }
            facts.uplink = EthernetInterface(name: parts[0], address: address)
        }
        if let lease { facts.lease = DHCPLease(leases: try FileTree.readText(FilePath(lease))) }
        let plan = HostPlan(HostConfiguration.parse(commandLine: commandLine), facts)
        for notice in plan.notices { print("configuration: \(notice)") }
        try FileSetup(root: root).write(plan.files)
        for file in plan.files { print(root + file.path.string) }
    }
}
