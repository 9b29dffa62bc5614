import ArgumentParser
import BuildOSKit

/// `buildosctl machine rollback`
struct MachineRollbackCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollback",
        abstract: "Make an earlier revision of a machine, which the host still has, the one in effect.",
        discussion: """
            One rename: builds that begin after it use the other revision. Toolchains are bootstrapped anew in it by the \
            host's agents. 'upgrade' goes forward again.
            """
    )

    @Argument(help: "The machine's name.")
    var machine: String
    @Option(help: ArgumentHelp("The revision; without it, the newest before the one in effect.", valueName: "P.R"))
    var to: String?
    @Flag(help: "Say what would be done.")
    var dryRun = false
    @OptionGroup var hosts: HostOptions
    @OptionGroup var modules: ModuleOptions
    @OptionGroup var format: FormatOptions

    func run() async throws {
        let name = try MachineName.checked(machine)
        let revision = try to.map { (text) throws(MachineError) in
            guard let revision = MachineRevision(text) else {
                throw MachineError(
                    .invalid,
                    "--to \(String(text.prefix(40)))",
                    cause: "it is not a revision",
                    remedy: "give it as <protocol>.<revision>, such as 1.0"
                )
            }
            return revision
        }
        let (layout, volume) = (hosts.layout, try hosts.volumeName())
        let arguments =
            ["rollback", name.text] + (revision.map { ["--to", "\($0)"] } ?? []) + (dryRun ? ["--dry-run"] : [])
        let fanOut = HostFanOut(hosts: hosts, modules: modules, needsRoot: !dryRun)
        let answers = try await fanOut.run(arguments, timeLimit: .seconds(300), as: MachineKeeper.RollBack.self) {
            [dryRun] (storage) throws(MachineError) in
            try await MachineKeeper(storage, layout, volume, name).rollBack(to: revision, isDryRun: dryRun)
        }
        try Answers.show(answers, format) { [dryRun] in
            "\(name): \(dryRun ? "would go from" : "from") \($0.before?.description ?? "nothing") to \($0.now)"
        }
    }
}

/// `buildosctl machine prune`
struct MachinePruneCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract: "Remove all but the newest revisions of a machine, and never one in use."
    )

    @Argument(help: "The machine's name.")
    var machine: String
    @Option(help: ArgumentHelp("How many revisions remain.", valueName: "number"))
    var keep = 2
    @Flag(help: "Say what would be done.")
    var dryRun = false
    @OptionGroup var hosts: HostOptions
    @OptionGroup var modules: ModuleOptions
    @OptionGroup var format: FormatOptions

    func validate() throws {
        if !(1...1000).contains(keep) { throw ValidationError("--keep \(keep): expected 1 to 1000") }
    }

    func run() async throws {
        let name = try MachineName.checked(machine)
        let (layout, volume) = (hosts.layout, try hosts.volumeName())
        let arguments = ["prune", name.text, "--keep", "\(keep)"] + (dryRun ? ["--dry-run"] : [])
        let fanOut = HostFanOut(hosts: hosts, modules: modules, needsRoot: !dryRun)
        let answers = try await fanOut.run(arguments, timeLimit: .seconds(600), as: MachinePruning.self) {
            [keep, dryRun] (storage) throws(MachineError) in
            try await MachineKeeper(storage, layout, volume, name).prune(keep: keep, isDryRun: dryRun)
        }
        try Answers.show(answers, format) { [dryRun] pruning in
            func list(_ revisions: [MachineRevision]) -> String {
                revisions.isEmpty ? "nothing" : revisions.map(\.description).joined(separator: " ")
            }
            let kept = pruning.inUse.isEmpty ? "" : "; in use, so kept: \(list(pruning.inUse))"
            return "\(name): \(dryRun ? "would remove" : "removed") \(list(pruning.remove))\(kept)"
        }
    }
}

/// What `machine remove` and `remove-machine` take.
struct RemoveArguments: ParsableArguments {
    @Argument(help: "The machine's name.")
    var machine: String
    @Option(help: ArgumentHelp("How long to wait for builds; without it, as long as it takes.", valueName: "seconds"))
    var timeLimit: Int?
    @Flag(help: "Say what would be done.")
    var dryRun = false
    @OptionGroup var hosts: HostOptions
    @OptionGroup var modules: ModuleOptions
    @OptionGroup var format: FormatOptions

    func validate() throws {
        if let timeLimit, !(0...864_000).contains(timeLimit) {
            throw ValidationError("--time-limit \(timeLimit): expected 0 to 864000 seconds")
        }
    }

    func run() async throws {
        let name = try MachineName.checked(machine)
        let (layout, volume) = (hosts.layout, try hosts.volumeName())
        let arguments =
            ["remove", name.text] + (timeLimit.map { ["--time-limit", "\($0)"] } ?? [])
            + (dryRun ? ["--dry-run"] : [])
        let isForScript = format.format == .json
        let fanOut = HostFanOut(hosts: hosts, modules: modules, needsRoot: !dryRun)
        let answers = try await cancelledByInterrupt { [timeLimit, dryRun] in
            try await fanOut.run(arguments, as: MachineKeeper.Removal.self) { (storage) throws(MachineError) in
                try await MachineKeeper(storage, layout, volume, name).remove(
                    timeLimit: timeLimit.map { .seconds($0) },
                    isDryRun: dryRun
                ) { builds in
                    let mark = isForScript ? HostFanOut.progressMark : ""
                    Messages.tell("\(mark)waiting for \(builds.joined(separator: ", "))")
                }
            }
        }
        try Answers.show(answers, format) { [dryRun] removal in
            let what = removal.removed.isEmpty ? "nothing" : removal.removed.joined(separator: " ")
            let waits = removal.waitsFor.isEmpty ? "" : ", after \(removal.waitsFor.joined(separator: " "))"
            return dryRun ? "\(name): would remove \(what)\(waits)" : "\(name): removed \(what)"
        }
    }
}

/// `buildosctl machine remove`
struct MachineRemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Remove a machine: its links at once, all else when the builds that use it have ended.",
        discussion: """
            Says which builds it waits for. If it is interrupted, or the time limit passes (exit status 75), no new builds \
            begin with the machine; running it again removes the rest.
            """
    )

    @OptionGroup var arguments: RemoveArguments

    func run() async throws { try await arguments.run() }
}

/// `buildosctl remove-machine` (MACH-8)
struct RemoveMachineCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove-machine",
        abstract: "The same as 'machine remove'.",
        discussion: MachineRemoveCommand.configuration.discussion
    )

    @OptionGroup var arguments: RemoveArguments

    func run() async throws { try await arguments.run() }
}

extension MachineKeeper {
    init(_ storage: any MachineStorage, _ layout: MachineLayout, _ volume: VolumeName, _ machine: MachineName) {
        self.init(MachineDirectory(storage: storage, layout: layout, volume: volume, machine: machine))
    }
}
