import ArgumentParser
import BuildOSKit
import Glibc

/// What `machine add`, `machine upgrade` and `upload-machine` take.
struct UploadArguments: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "The image: a read-only subvolume named <machine>-<protocol>.<revision>.",
            valueName: "subvolume"
        )
    )
    var image: String
    @Flag(help: "Find out what would be sent, to the byte, and send nothing.")
    var dryRun = false
    @Option(help: "Compress with zstd on the way: always, never, or auto: where the way, measured, is slow enough.")
    var compress: UploadOptions.Compression = .auto
    @Option(help: ArgumentHelp("Send no faster to each host, such as 20M.", valueName: "bytes/s"))
    var rateLimit: ByteRate?
    @Option(help: ArgumentHelp("Afterwards, remove all but this many revisions, and none in use.", valueName: "number"))
    var keep: Int?
    @Flag(inversion: .prefixedNo, help: "Make the image the one in effect.")
    var activate = true
    @Flag(inversion: .prefixedNo, help: "Have the host keep what arrives, so that an interrupted upload goes on.")
    var resume = true
    @Option(help: ArgumentHelp("Give up after this time.", valueName: "seconds"))
    var timeLimit: Int?
    @Option(help: ArgumentHelp("Give a host up that takes nothing for this time.", valueName: "seconds"))
    var stallLimit = 120
    @Flag(help: "Show no progress.")
    var quiet = false
    @OptionGroup var hosts: HostOptions
    @OptionGroup var modules: ModuleOptions
    @OptionGroup var format: FormatOptions

    /// Sizes of chunks for tests: small ones make for many places to interrupt at.
    @Option(help: .hidden)
    var chunkSize = UploadOptions().chunkSize

    func validate() throws {
        if let keep, !(1...1000).contains(keep) { throw ValidationError("--keep \(keep): expected 1 to 1000") }
        if let timeLimit, !(1...864_000).contains(timeLimit) {
            throw ValidationError("--time-limit \(timeLimit): expected 1 to 864000 seconds")
        }
        if !(1...86_400).contains(stallLimit) {
            throw ValidationError("--stall-limit \(stallLimit): expected 1 to 86400 seconds")
        }
        if !(4096...(4 << 20)).contains(chunkSize) {
            throw ValidationError("--chunk-size \(chunkSize): expected 4096 to 4194304 bytes")
        }
    }

    func run(_ intent: UploadIntent) async throws {
        // A host that goes away is an error to be told, not a signal to die of.
        signal(SIGPIPE, SIG_IGN)
        let registry = modules.load().registry
        let volume = try hosts.volumeName()
        let places = try Place.all(hosts, registry)
        let targets = places.map { place in
            let program = place.isRemote ? hosts.hostProgram : HostProcess.executable.string
            return UploadTarget(
                label: place.label,
                transport: place.transport,
                receiver: Command(program, ["machine", "receive"] + hosts.rootArguments),
                volume: volume
            )
        }
        let source = try Self.absolute(image)
        guard FileTree.exists(source) else {
            throw MachineError(
                .notFound,
                "image '\(source)'",
                cause: "there is no such subvolume",
                remedy: "make one with 'buildosctl machine create', or name another"
            )
        }
        let isTerminal = isatty(STDERR_FILENO) == 1
        let uploader = MachineUploader(
            storage: try await registry.machineStorage(holding: source.removingLastComponent()),
            transport: try registry.makeTransport(to: .thisMachine),
            source: source,
            options: options(intent, measuresFirst: isTerminal && !quiet)
        )
        let display = UploadDisplay(hosts: targets.map(\.label), isTerminal: isTerminal, isQuiet: quiet)
        let reports: [UploadReport]
        do {
            reports = try await cancelledByInterrupt {
                try await uploader.upload(to: targets) { display.show($0, $1) }
            }
        } catch {
            display.finish()
            throw error
        }
        display.finish()
        for place in places { await place.transport.close() }
        switch format.format {
        case .json: try format.printJSON(reports)
        case .text:
            for report in reports {
                if let error = report.error {
                    Messages.tell("\(report.host): \(error)")
                } else {
                    print("\(report.host): \(UploadSummary.text(report))")
                }
            }
        }
        fflush(nil)
        try Answers.exit(failures: reports.compactMap(\.error), of: reports.count)
    }

    private func options(_ intent: UploadIntent, measuresFirst: Bool) -> UploadOptions {
        var options = UploadOptions()
        options.intent = intent
        options.compression = compress
        options.rateLimit = rateLimit?.bytesPerSecond
        options.keep = keep
        options.activates = activate
        options.spools = resume
        options.chunkSize = chunkSize
        options.stallLimit = .seconds(stallLimit)
        options.timeLimit = timeLimit.map { .seconds($0) }
        options.isDryRun = dryRun
        options.measuresFirst = measuresFirst
        return options
    }

    /// The image's path, from the root: what lies beside it is looked at, too.
    private static func absolute(_ text: String) throws(MachineError) -> FilePath {
        var path = FilePath(text)
        while path.components.last?.string == "." { path.removeLastComponent() }
        if path.isAbsolute { return path }
        guard let directory = getcwd(nil, 0) else {
            throw MachineError(.invalid, "image '\(text)'", cause: "the working directory is gone")
        }
        defer { free(directory) }
        return FilePath(String(cString: directory)).pushing(path)
    }
}

extension UploadOptions.Compression: ExpressibleByArgument {}

/// Bytes a second, as an option has them: a number with K, M or G for powers of 1000, or nothing.
struct ByteRate: ExpressibleByArgument, Sendable {
    let bytesPerSecond: Int64

    init?(argument: String) {
        let units: [Character: Int64] = ["K": 1000, "M": 1_000_000, "G": 1_000_000_000]
        let unit = argument.last.flatMap { units[Character($0.uppercased())] }
        guard let number = Int64(unit == nil ? argument[...] : argument.dropLast()), number > 0 else { return nil }
        let (product, overflows) = number.multipliedReportingOverflow(by: unit ?? 1)
        guard !overflows, product >= 1000 else { return nil }
        bytesPerSecond = product
    }
}

/// `buildosctl machine add`
struct MachineAddCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Bring a new machine to hosts.",
        discussion: """
            The image is sent over SSH to a hidden place, snapshotted into /build/machines/<volume>/<machine>/, given to \
            user build, and made the one in effect by a rename: whatever is interrupted, the host has the whole machine or \
            none. If the connection breaks, run it again: what has arrived is not sent again.

            Make an image with 'buildosctl machine create', or on btrfs with 'btrfs subvolume snapshot -r <subvolume> \
            <machine>-1.0'. Reading it needs root here. It may lie on a file system other than btrfs.
            """
    )

    @OptionGroup var arguments: UploadArguments

    func run() async throws { try await arguments.run(.add) }
}

/// `buildosctl machine upgrade`
struct MachineUpgradeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upgrade",
        abstract: "Bring another revision of a machine to hosts: what differs from those they have.",
        discussion: """
            Beside the image must lie a revision that the host has, sent from here before; the nearest forebear is taken as \
            the base. Without one, everything is sent.

              btrfs subvolume snapshot linux-gcc_6-1.0 work              # change what is in work/, then
              btrfs subvolume snapshot -r work linux-gcc_6-1.1
              buildosctl machine upgrade linux-gcc_6-1.1 --host build@host --keep 2
            """
    )

    @OptionGroup var arguments: UploadArguments

    func run() async throws { try await arguments.run(.upgrade) }
}

/// `buildosctl upload-machine` (MACH-8)
struct UploadMachineCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upload-machine",
        abstract: "Bring a machine, or another revision of one, to hosts: 'machine add' or 'machine upgrade'."
    )

    @OptionGroup var arguments: UploadArguments

    func run() async throws { try await arguments.run(.any) }
}
