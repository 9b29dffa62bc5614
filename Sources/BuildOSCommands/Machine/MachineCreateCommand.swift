import ArgumentParser
import BuildOSKit
import Glibc

/// `buildosctl machine create`
struct MachineCreateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create",
        abstract: "Make a build machine from Debian packages (as root).",
        discussion: """
            Makes a subvolume with a disk, a kernel and a manifest, read-only, ready for 'machine add'. In the disk is \
            Debian with a compiler, and a worker that fetches a package's source as a .tar.gz from the task's \
            repository, runs 'make', 'make check' and 'make install' in it, and hands over logs and result.

            With --auxiliary it is a machine that others make use of while they build, such as a database. It runs the \
            program of --service as root at each start; the lines NAME=value that this prints, and ADDRESS, go to the build \
            as <KEY>_NAME, where the task has auxiliary-machine-<key>. The program must leave behind what it starts, and end.

            The name of the subvolume is that of the machine and its revision:

              buildosctl machine create --packages cmake,ninja-build /srv/machines/linux_debian_12-gcc_12.2-1.0
              buildosctl machine create --auxiliary --packages postgresql --service start-postgresql \
                /srv/machines/x86_64-postgresql_15-1.0
            """
    )

    @Argument(
        help: ArgumentHelp("The new subvolume: <directory>/<name>-<P>.<R>.", valueName: "path"),
        completion: .directory
    )
    var output: String

    @Option(
        help: ArgumentHelp("Debian packages, joined by commas, besides compiler and make.", valueName: "packages")
    )
    var packages: String = ""

    @Flag(help: "Make an auxiliary machine: the first part of its name is its architecture, such as x86_64.")
    var auxiliary = false

    @Option(
        help: ArgumentHelp("A program that an auxiliary machine runs at each start.", valueName: "file"),
        completion: .file()
    )
    var service: String?

    @Option(help: ArgumentHelp("The size of its disk in GiB; what isn't written takes no room.", valueName: "GiB"))
    var diskSize: String = "8"

    @Option(
        help: ArgumentHelp(
            "What controllers show of it, in a line; 'Debian 12 with GCC 12.2' or, with --auxiliary, 'Debian 12'.",
            valueName: "text"
        )
    )
    var summary: String?

    @Option(help: ArgumentHelp("Take packages from this Debian mirror instead of the usual one.", valueName: "URL"))
    var mirror: String?

    @OptionGroup var modules: ModuleOptions

    func validate() throws {
        guard service == nil || auxiliary else {
            throw ValidationError("--service: only an auxiliary machine has one (--auxiliary)")
        }
    }

    func run() async throws {
        let path = FilePath(output)
        let (name, revision) = try Self.identity(path)
        let size: MemorySize
        do { size = try MemorySize(gibibytes: diskSize) } catch {
            throw ValidationError("--disk-size '\(diskSize)': \(error.cause)")
        }
        guard size >= MemorySize(gibibytes: 2) else { throw ValidationError("--disk-size: at least 2 GiB are needed") }
        if let service, access(service, R_OK) != 0 {
            throw ValidationError("--service \(service): it can't be read: \(Errno(rawValue: errno))")
        }
        if auxiliary, !name.text.contains("-") {
            throw ValidationError(
                "'\(name)': an auxiliary machine is <architecture>-<name>, such as x86_64-postgresql_15"
            )
        }
        guard geteuid() == 0 else { throw ImageBuildError(.notRoot) }
        let missing = ImageTool.missing(ImageTool.forMachines, path: HostProcess.environmentVariable("PATH") ?? "")
        guard missing.isEmpty else { throw ImageBuildError(.missingPrograms(missing)) }

        umask(0o022)
        let registry = modules.load().registry
        let storage = try await registry.machineStorage(holding: path.removingLastComponent())
        let progress = ImageProgress()
        let builder = MachineImageBuilder(
            transport: try registry.makeTransport(to: .thisMachine),
            storage: storage,
            options: MachineImageBuilder.Options(
                output: path,
                header: MachineHeader(
                    id: "\(name)-\(revision)",
                    name: name.text,
                    summary: summary ?? (auxiliary ? "Debian 12" : "Debian 12 with GCC 12.2"),
                    role: auxiliary ? .auxiliary : .build
                ),
                packages: packages.split(separator: ",").map(String.init),
                service: service.map { FilePath($0) },
                diskSize: size,
                mirror: mirror,
                prefix: HostProcess.prefix
            )
        ) { progress.show($0) }
        do {
            try await cancelledByInterrupt { try await builder.build() }
        } catch  where error is CancellationError || (error as? TransportError)?.kind == .cancelled {
            print("Interrupted: what was made on the way is removed.")
            throw ExitCode(130)
        }
        print("\(output): machine \(name), revision \(revision), on \(storage.backendName) storage")
    }

    /// The machine and the revision that the last component of a path names.
    private static func identity(_ path: FilePath) throws -> (MachineName, MachineRevision) {
        let last = path.lastComponent?.string ?? ""
        guard let dash = last.lastIndex(of: "-"), let revision = MachineRevision(last[last.index(after: dash)...])
        else {
            throw ValidationError("'\(last)' is not <name>-<P>.<R>, such as linux_debian_12-gcc_12.2-1.0")
        }
        return (try MachineName(String(last[..<dash])), revision)
    }
}
