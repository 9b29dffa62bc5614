import ArgumentParser
import BuildOSKit

/// `buildosctl config check` (CONF-5)
struct ConfigCheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Say what a kernel command line will do, before you boot with it.",
        discussion: """
            Prints every parameter with its value and where the value comes from, the slice of CPUs and RAM that each \
            agent gets, and everything that is wrong with the line.

            Put the line in single quotes, so that the shell leaves the double quotes in it alone:

              buildosctl config check --cpus 8 --ram 64 \\
                'buildos.cpu_overcommit=3/2 buildos.instances=3 buildos.ssh_key="ssh-ed25519 AAAA... me@desk"'

            With '-' for the line it is read from standard input; without one it is that of the running kernel, \
            which on a build host is the one in effect. Parameters of others, such as console= or quiet, are passed over.

            CPUs of a slice = (CPUs - reserved) * overcommit / instances of all toolchains, rounded down.
            RAM of a slice = (total - reserved - auxiliary) / instances, rounded down to whole MiB.

            'buildosctl config parameters' lists what can be given. Exits with 0 if the line is right, with 1 if \
            something is wrong with it; warnings don't count.
            """
    )

    @Option(
        help: ArgumentHelp("CPUs (hardware threads) of the host; those of this machine if not given.", valueName: "n")
    )
    var cpus: Int?

    @Option(help: ArgumentHelp("RAM of the host in GiB; that of this machine if not given.", valueName: "GiB"))
    var ram: String?

    @OptionGroup var format: FormatOptions

    @Argument(help: ArgumentHelp("The command line, as one argument; '-' to read it.", valueName: "line"))
    var line: String?

    private var givenRAM: MemorySize?

    init() {}

    private enum CodingKeys: CodingKey { case cpus, ram, format, line }

    mutating func validate() throws {
        if let cpus, !(1...(CPUSet.greatestCPU + 1)).contains(cpus) {
            throw ValidationError("--cpus \(cpus): give a number from 1 to \(CPUSet.greatestCPU + 1).")
        }
        if let ram {
            do {
                let size = try MemorySize(gibibytes: ram)
                guard size.kibibytes > 0 else { throw InvalidValue("there is no RAM in it") }
                givenRAM = size
            } catch let error as InvalidValue {
                throw ValidationError("--ram \(ram): \(error.cause); give GiB, such as 64 or 1.5.")
            }
        }
    }

    func run() async throws {
        let machine: MachineResources
        if let cpus, let givenRAM {
            machine = MachineResources(cpus: cpus, ram: givenRAM)
        } else {
            let detected = try MachineResources.detect()
            machine = MachineResources(cpus: cpus ?? detected.cpus, ram: givenRAM ?? detected.ram)
        }
        let report = ConfigReport(HostConfiguration.parse(commandLine: try readLine()), machine: machine)
        switch format.format {
        case .json: try format.printJSON(report)
        case .text: print(report.text, terminator: "")
        }
        if report.isWrong { throw ExitCode(1) }
    }

    private func readLine() throws -> [UInt8] {
        switch line {
        case "-": try FileTree.read("/dev/stdin")
        case let line?: Array(line.utf8)
        case nil: try FileTree.read(HostConfiguration.commandLineFile)
        }
    }
}

/// `buildosctl config parameters`
struct ConfigParametersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "parameters",
        abstract: "List the parameters of a host, what they are for and what they accept.",
        discussion: "[.T] stands for the name of a toolchain; without one the toolchain is 'default'."
    )

    @OptionGroup var format: FormatOptions

    private struct Entry: Encodable {
        let name: String
        let takesToolchain: Bool
        let repeats: Bool
        let summary: String
        let accepts: String
    }

    func run() async throws {
        switch format.format {
        case .json:
            try format.printJSON(
                Parameter.allCases.map {
                    Entry(
                        name: $0.name(),
                        takesToolchain: $0.takesToolchain,
                        repeats: $0.repeats,
                        summary: $0.summary,
                        accepts: $0.accepts
                    )
                }
            )
        case .text:
            for parameter in Parameter.allCases {
                print("\(parameter.name())\(parameter.takesToolchain ? "[.T]" : "")=")
                print("    \(parameter.summary)")
                print("    accepts \(parameter.accepts)")
            }
        }
    }
}
