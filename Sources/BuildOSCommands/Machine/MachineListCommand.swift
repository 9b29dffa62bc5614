import ArgumentParser
import BuildOSKit

/// `buildosctl machine list`
struct MachineListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the machines of hosts: what is in effect, what else there is, what is being built with.",
        discussion: """
            Needs no root. All volumes are listed, whatever --volume says. A guest of a machine is a build that runs, or \
            one that stands by for the next.
            """
    )

    @OptionGroup var hosts: HostOptions
    @OptionGroup var modules: ModuleOptions
    @OptionGroup var format: FormatOptions

    func run() async throws {
        let layout = hosts.layout
        let fanOut = HostFanOut(hosts: hosts, modules: modules, needsRoot: false)
        let answers = try await fanOut.run(["list"], timeLimit: .seconds(60), as: MachineListing.self) {
            (storage) throws(MachineError) in try await MachineListing(storage: storage, layout: layout)
        }
        try Answers.show(answers, format) { MachineTable.text($0) }
    }
}

/// `buildosctl machine info`
struct MachineInfoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info",
        abstract: "Show all that a host has of one machine."
    )

    @Argument(help: "The machine's name.")
    var machine: String
    @OptionGroup var hosts: HostOptions
    @OptionGroup var modules: ModuleOptions
    @OptionGroup var format: FormatOptions

    func run() async throws {
        let name = try MachineName.checked(machine)
        let (layout, volume) = (hosts.layout, try hosts.volumeName())
        let fanOut = HostFanOut(hosts: hosts, modules: modules, needsRoot: false)
        let answers = try await fanOut.run(["info", name.text], timeLimit: .seconds(60), as: MachineContents.self) {
            (storage) throws(MachineError) in
            let directory = MachineDirectory(storage: storage, layout: layout, volume: volume, machine: name)
            try await directory.requireVolume()
            let contents = try await directory.contents()
            guard contents.exists else {
                throw MachineError(
                    .notFound,
                    "machine '\(name)'",
                    cause: "there is none on volume '\(volume)'",
                    remedy: "'buildosctl machine list' shows the machines there are"
                )
            }
            return contents
        }
        try Answers.show(answers, format) { MachineTable.details($0) }
    }
}

extension MachineName {
    /// A machine's name from a command line, which may hold anything.
    static func checked(_ text: String) throws(MachineError) -> MachineName {
        do throws(InvalidValue) {
            return try MachineName(text)
        } catch {
            throw MachineError(
                error,
                subject:
                    "machine '\(String(text.prefix(100).map { $0.isNewline || $0.asciiValue.map { $0 < 32 } == true ? "?" : $0 }))'"
            )
        }
    }
}

/// Machines as people read them.
enum MachineTable {
    static func text(_ listing: MachineListing) -> String {
        var lines: [String] = []
        for volume in listing.volumes {
            if let problem = volume.problem {
                lines.append("volume \(volume.name): \(problem)")
                continue
            }
            let room = volume.space.map { ", \(ByteCount($0.available)) of \(ByteCount($0.total)) free" } ?? ""
            lines.append("volume \(volume.name)\(room)")
            let width = volume.machines.map(\.machine.text.count).max() ?? 0
            for machine in volume.machines {
                let name = machine.machine.text + String(repeating: " ", count: width - machine.machine.text.count)
                lines.append("  \(name)  \(summary(machine))")
            }
            if volume.machines.isEmpty { lines.append("  no machines") }
        }
        return lines.isEmpty ? "no volumes" : lines.joined(separator: "\n")
    }

    private static func summary(_ machine: MachineContents) -> String {
        let current = machine.links.map { link in
            machine.current(version: link.version).map { "\($0) in effect" } ?? "protocol \(link.version) BROKEN"
        }
        var parts = current.isEmpty ? ["nothing in effect"] : current
        let others = machine.revisions.filter { !machine.isCurrent($0.revision) }.map(\.revision.description)
        if !others.isEmpty { parts.append("also \(others.joined(separator: " "))") }
        if !machine.bootstrapped.isEmpty {
            parts.append("toolchains \(machine.bootstrapped.map(\.toolchain.text).joined(separator: " "))")
        }
        if !machine.temporary.isEmpty {
            parts.append(counted(machine.temporary.count, "guest"))
        }
        return parts.joined(separator: "; ")
    }

    static func details(_ machine: MachineContents) -> String {
        var lines = ["machine \(machine.machine) on volume \(machine.volume)"]
        for revision in machine.revisions {
            var notes: [String] = []
            if machine.isCurrent(revision.revision) { notes.append("in effect") }
            if !revision.isReadOnly { notes.append("WRITABLE") }
            if machine.received.contains(where: { $0.revision == revision.revision }) {
                notes.append("base for upgrades")
            }
            lines.append("  \(machine.machine)-\(revision.revision)  \(notes.joined(separator: ", "))")
        }
        for link in machine.links where machine.current(version: link.version) == nil {
            lines.append("  \(machine.machine)-\(link.version) leads nowhere: \(link.target ?? "it is no link")")
        }
        for image in machine.bootstrapped { lines.append("  \(image.name)  toolchain \(image.toolchain)") }
        for snapshot in machine.temporary {
            lines.append("  \(snapshot.name)  a guest of toolchain \(snapshot.toolchain)")
        }
        return lines.joined(separator: "\n")
    }
}
