import ArgumentParser
import BuildOSKit
import FoundationEssentials
import Glibc

/// `buildosd privileged`: the few things that the monitor, an ordinary user, has done by root.
struct PrivilegedCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "privileged",
        abstract: "Do as root what the monitor may ask for.",
        discussion: """
            agents start bbot|builtin <toolchain> <instance>
            agents stop <toolchain> <instance>
            reboot [--kexec --kernel FILE --initrd FILE]
            note-reboot <build id>
            clean-machines

            Every argument is checked; anything else is refused. The monitor runs nothing else as root.
            """
    )

    @Argument(parsing: .captureForPassthrough, help: "What to do.")
    var arguments: [String] = []

    func run() async throws {
        if arguments == ["--help"] || arguments == ["-h"] { throw CleanExit.helpRequest(self) }
        let request = try PrivilegedRequest(arguments: arguments)
        guard geteuid() == 0 else {
            throw MonitorSetupError(
                subject: "buildosd privileged",
                cause: "this needs root",
                remedy: "run it by sudo, as the monitor does"
            )
        }
        if case .noteReboot(let id) = request { return try RebootJournal().note(id) }
        // Modules come from beside this program alone: root does not load what the caller's environment names.
        let modules = ModuleLoader.loadAll(
            ModuleSearchPath(commandLine: [], environment: nil, executable: HostProcess.executable)
        )
        if request == .cleanMachines { return try await clean(modules) }
        let transport = try modules.registry.makeTransport(to: .thisMachine)
        for step in request.steps {
            do {
                try await transport.check(step.command, timeLimit: .seconds(240))
            } catch {
                if !step.mayFail { throw error }
            }
        }
    }

    private func clean(_ modules: ModuleInventory) async throws {
        let parsed = HostConfiguration.parse(commandLine: try FileTree.read(HostConfiguration.commandLineFile))
        let cleaner = MachineCleaner(
            storage: try modules.registry.machineStorage(named: "btrfs").makeStorage(),
            toolchains: Set(parsed.configuration.toolchains.map(\.name))
        )
        // Written by root in a directory of root's: the first cleaning since the host booted has been done.
        let marker: FilePath = "/run/buildos-machines-cleaned"
        let report = await cleaner.run(FileTree.exists(marker) ? .restart : .boot)
        try FileTree.write("", to: marker)
        print(String(decoding: try JSONEncoder().encode(report), as: UTF8.self))
    }
}
