import ArgumentParser
import BuildOSKit
import Glibc

/// `buildosctl machine receive`
struct MachineReceiveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "receive",
        abstract: "On a host: receive an image from the buildosctl at the other end of standard input and output.",
        discussion: """
            Run by 'machine add' and 'machine upgrade' over SSH, not by hand. As another user than root it runs itself by \
            sudo. What it did is in <volume>/.uploads/<machine>.journal. What arrives is kept there until all has, so that \
            an interrupted upload goes on; --spool-limit bounds that.
            """
    )

    @Option(help: ArgumentHelp("Keep at most this much of a stream.", valueName: "MiB"))
    var spoolLimit = 16384

    @Option(help: .hidden)
    var root = "/build/machines"

    func validate() throws {
        if !(0...1_048_576).contains(spoolLimit) {
            throw ValidationError("--spool-limit \(spoolLimit): expected 0 to 1048576 MiB")
        }
    }

    func run() async throws {
        // Modules come from beside this program alone: root does not load what the caller's environment names.
        let modules = ModuleOptions.load(
            ModuleSearchPath(commandLine: [], environment: nil, executable: HostProcess.executable)
        )
        let transport = try modules.registry.makeTransport(to: .thisMachine)
        guard geteuid() == 0 else { return try await runAsRoot(transport) }
        // A sender that goes away is an error to be told, not a signal to die of.
        signal(SIGPIPE, SIG_IGN)
        let receiver = MachineReceiver(
            storage: try modules.registry.machineStorage(named: "btrfs").makeStorage(),
            transport: transport,
            layout: MachineLayout(root: FilePath(root)),
            spoolLimit: Int64(spoolLimit) << 20
        )
        do throws(MachineError) {
            try await receiver.run(input: .standardInput, output: .standardOutput)
        } catch {
            Messages.tell("\(error)")
            throw ExitCode(1)
        }
    }

    private func runAsRoot(_ transport: any Transport) async throws {
        guard root == MachineLayout().root.string else {
            throw MachineError(.invalid, "--root", cause: "root receives into \(MachineLayout().root) alone")
        }
        let arguments = ["-n", HostProcess.executable.string, "machine", "receive", "--spool-limit", "\(spoolLimit)"]
        let result = try await transport.run(
            Command("sudo", arguments),
            input: .inherited,
            output: .inherited,
            error: .inherited,
            timeLimit: nil
        )
        guard result.status.isSuccess else { throw ExitCode(1) }
    }
}
