/// Removes what a crash or a reboot left in machine directories (MACH-6). To be run while no agent runs.
///
/// What is stray, in a machine's directory `<name>/`, and only if it is a subvolume of that very name:
/// - `<name>-<T>-<xxx>`: whatever went on in it is over;
/// - `<name>-<T>` of a toolchain this host doesn't have, or with no image in effect to come from;
/// - `<name>-<P>.<R>` if no link `<name>-<P>` is there at all: the machine was removed by removing its link (manual, 5.3),
///   or never completed;
/// - `<name>-<P>.<R>` that is writable and not in effect: half received;
/// - in `.received/`, whatever was not received to its end, and all of it once no link is left;
/// - the spools of uploads that nobody came back for in a week;
/// - the machine's directory itself, if that leaves it empty.
///
/// Everything else is left alone, names it doesn't know first of all. A failure is reported and does not keep the rest
/// from being cleaned.
public struct MachineCleaner: Sendable {
    private let storage: any MachineStorage
    private let layout: MachineLayout
    private let toolchains: Set<ToolchainName>

    /// How much is cleaned.
    public enum Scope: Sendable, Hashable {
        /// All of the above: nobody can have begun to add a machine yet.
        case boot
        /// `<name>-<T>-<xxx>` alone: a monitor that was restarted must not take away what is just being uploaded.
        case restart
    }

    /// Creates a cleaner.
    ///
    /// - Parameter toolchains: those that this host is configured for.
    public init(storage: any MachineStorage, layout: MachineLayout = MachineLayout(), toolchains: Set<ToolchainName>) {
        self.storage = storage
        self.layout = layout
        self.toolchains = toolchains
    }

    /// Cleans all volumes.
    public func run(_ scope: Scope = .boot) async -> MachineCleaningReport {
        var report = MachineCleaningReport()
        guard FileTree.exists(layout.root) else { return report }
        do {
            for volume in try layout.volumes() { await clean(volume: volume, scope, &report) }
        } catch {
            report.problems.append(error.description)
        }
        return report
    }

    private func clean(volume: FilePath, _ scope: Scope, _ report: inout MachineCleaningReport) async {
        do {
            guard try await storage.isVolume(volume) else {
                report.problems.append("\(volume): not a volume of a kind this host can clean; it was left alone")
                return
            }
            for (name, directory) in try MachineLayout.machines(in: volume) {
                await clean(machine: name, in: directory, scope, &report)
            }
            let uploads = UploadArea(volume: volume)
            if scope == .boot, FileKind(uploads.directory) == .directory { try uploads.removeOldSpools() }
        } catch {
            report.problems.append("\(error)")
        }
    }

    private func clean(
        machine: MachineName,
        in directory: FilePath,
        _ scope: Scope,
        _ report: inout MachineCleaningReport
    ) async {
        let found: Contents
        do {
            found = try await contents(of: machine, directory)
        } catch {
            report.problems.append("\(error)")
            return
        }
        report.problems += found.problems
        for subvolume in found.subvolumes where found.isStray(subvolume, toolchains: toolchains, scope) {
            await remove(subvolume.path, &report)
        }
        guard scope == .boot else { return }
        try? FileTree.remove(MachineInstaller.newLink(of: machine, in: directory))
        await cleanReceived(directory.appending(MachineEntry.receivedDirectory), keep: !found.links.isEmpty, &report)
        guard found.links.isEmpty, let rest = try? FileTree.names(in: directory), rest.isEmpty else { return }
        do {
            try FileTree.remove(directory)
            report.removed.append(directory.string)
        } catch {
            report.problems.append(error.description)
        }
    }

    private func contents(of machine: MachineName, _ directory: FilePath) async throws -> Contents {
        var contents = Contents(machine: machine)
        for name in try FileTree.names(in: directory) {
            guard case .current(let version) = MachineEntry(name, of: machine) else { continue }
            let path = directory.appending(name)
            guard FileKind(path) == .link, let target = FileKind.target(ofLink: path) else {
                contents.problems.append("\(path): it should be a link to the image in effect")
                contents.links[version] = .some(nil)
                continue
            }
            if case .initial(let revision) = MachineEntry(target, of: machine), revision.version == version,
                FileKind(directory.appending(target)) == .directory
            {
                contents.links[version] = revision
            } else {
                let shown = String(
                    target.unicodeScalars.prefix(200).map { $0.isASCII && $0.value > 0x1f ? Character($0) : "?" }
                )
                contents.problems.append(
                    "\(path): it points to '\(shown)', which is not an image of this machine; point it to one, or remove it"
                )
                contents.links[version] = .some(nil)
            }
        }
        contents.subvolumes = try await storage.subvolumes(in: directory)
        return contents
    }

    private func cleanReceived(_ directory: FilePath, keep: Bool, _ report: inout MachineCleaningReport) async {
        guard FileKind(directory) == .directory else { return }
        do {
            for subvolume in try await storage.subvolumes(in: directory)
            where !keep || !ReceivedMark(subvolume.path).holds(for: subvolume) {
                await remove(subvolume.path, &report)
            }
            try ReceivedMark.removeOrphans(in: directory)
            if !keep, try FileTree.names(in: directory).isEmpty { try FileTree.remove(directory) }
        } catch {
            report.problems.append("\(error)")
        }
    }

    private func remove(_ path: FilePath, _ report: inout MachineCleaningReport) async {
        do throws(MachineStorageError) {
            try await storage.delete(path)
            report.removed.append(path.string)
        } catch {
            report.problems.append(error.description)
        }
    }

    /// What a machine's directory holds.
    private struct Contents {
        let machine: MachineName
        /// By protocol version: the image in effect; `nil` inside if the link leads nowhere.
        var links: [Int: MachineRevision?] = [:]
        var subvolumes: [Subvolume] = []
        var problems: [String] = []

        init(machine: MachineName) { self.machine = machine }

        func isStray(_ subvolume: Subvolume, toolchains: Set<ToolchainName>, _ scope: Scope) -> Bool {
            switch MachineEntry(subvolume.name, of: machine) {
            case .temporary: true
            case .bootstrapped where scope == .restart, .initial where scope == .restart: false
            case .bootstrapped(let toolchain):
                !toolchains.contains(toolchain) || !links.values.contains { $0 != nil }
            case .initial(let revision):
                switch links[revision.version] {
                case nil: true
                case .some(nil): false
                case .some(let inEffect?): inEffect != revision && !subvolume.isReadOnly
                }
            case .current, nil: false
            }
        }
    }
}
