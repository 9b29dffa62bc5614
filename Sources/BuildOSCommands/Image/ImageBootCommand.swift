import ArgumentParser
import BuildOSKit

/// `buildosctl image boot`
struct ImageBootCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "boot",
        abstract: "Boot an image in QEMU, with its console on this terminal. Ctrl-C ends it.",
        discussion: """
            Needs no root: the network is QEMU's user network, which also serves the files with --pxe. The kernel \
            command line ends with what --append says, as one argument that no shell reads.
            """
    )

    @Option(help: ArgumentHelp("The directory with the image's files.", valueName: "directory"))
    var image: String

    @Flag(help: "Load the image over the network with PXELINUX, instead of handing it to QEMU.")
    var pxe = false

    @Option(help: ArgumentHelp("Kernel parameters.", valueName: "line"))
    var append = ""

    @Option(help: ArgumentHelp("A disk image labelled buildos.state.", valueName: "file"))
    var state: String?

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Disk images labelled buildos.machines[.<volume>].", valueName: "file")
    )
    var machines: [String] = []

    @Flag(help: "Make empty state and machines disks for this boot, removed afterwards.")
    var scratchDisks = false

    @Option(help: ArgumentHelp("RAM of the guest.", valueName: "MiB"))
    var memory = 4096

    @Option(help: "CPUs of the guest; if not given, 2 with KVM, and 1 without: docs/image.md says why.")
    var cpus: Int?

    @Option(help: ArgumentHelp("Lead this port of the loopback to the guest's SSH server.", valueName: "port"))
    var sshPort: UInt16?

    @OptionGroup var modules: ModuleOptions

    func validate() throws {
        if memory < 256 { throw ValidationError("--memory \(memory): a host needs 1024 MiB; QEMU's least here is 256") }
        if let cpus, cpus < 1 { throw ValidationError("--cpus \(cpus): expected at least 1") }
    }

    func run() async throws {
        var options = ImageBooter.Options(image: ImageFiles(in: FilePath(image)))
        options.overNetwork = pxe
        options.append = append
        options.disks = (state.map { [$0] } ?? []).map { FilePath($0) } + machines.map { FilePath($0) }
        options.scratchDisks = scratchDisks
        options.memory = memory
        options.cpus = cpus
        options.sshPort = sshPort
        if machines.isEmpty && !scratchDisks {
            print(
                """
                No machines disk is attached: the host will stop at a shell that says so. \
                Give --machines, or --scratch-disks for empty ones.
                """
            )
        }
        let transport = try modules.load().registry.makeTransport(to: .thisMachine)
        let booter = ImageBooter(transport: transport, options: options)
        do {
            try await cancelledByInterrupt { try await booter.boot() }
        } catch let error as TransportError where error.kind == .cancelled {
            return
        }
    }
}
