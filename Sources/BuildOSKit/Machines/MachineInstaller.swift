import Glibc

/// The steps that turn an image that was received into the one in effect. Each can be repeated, and at no moment between
/// them does a reader find something half done (MACH-2).
struct MachineInstaller: Sendable {
    let directory: MachineDirectory
    let owner: FileOwner?
    let journal: MachineJournal
    /// Called at the beginning of every step.
    let began: @Sendable (MachineStep) async -> Void

    private var storage: any MachineStorage { directory.storage }
    private var machine: MachineName { directory.machine }

    func begin(_ step: MachineStep, _ revision: MachineRevision) async {
        journal.note("\(machine)-\(revision) \(step.rawValue)")
        await began(step)
    }

    /// Removes what earlier runs left in the hidden places.
    func clean(_ revision: MachineRevision) async throws {
        await begin(.clean, revision)
        guard FileKind(directory.received) == .directory else { return }
        for subvolume in try await storage.subvolumes(in: directory.received)
        where !ReceivedMark(subvolume.path).holds(for: subvolume) {
            try await storage.delete(subvolume.path)
        }
        try ReceivedMark.removeOrphans(in: directory.received)
        try FileTree.remove(newLink)
    }

    /// Makes the directories that an image is received into.
    func prepare() throws(FileError) {
        for path in [directory.path, directory.received] where FileKind(path) == nil {
            try FileTree.makeDirectory(path)
            if path == directory.path, let owner { chown(path.string, owner.user, owner.group) }
        }
    }

    /// Puts a whole received image into its place. One that is there already is left as it is.
    func place(_ revision: MachineRevision) async throws {
        let final = directory.path(of: revision)
        guard FileKind(final) == nil else { return }
        await begin(.stage, revision)
        let staged = directory.received.appending(".\(machine)-\(revision).staged")
        try await storage.snapshot(directory.receivedPath(of: revision), to: staged, readOnly: false)
        await begin(.own, revision)
        if let owner {
            try await DedicatedThread.run(name: "own-machine") { () throws(FileError) in try owner.own(staged) }
        }
        await begin(.place, revision)
        try await storage.snapshot(staged, to: final, readOnly: true)
        try await storage.delete(staged)
    }

    /// Makes an image the one in effect.
    func activate(_ revision: MachineRevision) async throws {
        await begin(.activate, revision)
        let final = directory.path(of: revision)
        let subvolume = try await storage.subvolume(at: final)
        guard subvolume.isReadOnly else {
            throw MachineError(
                .invalid,
                "image '\(machine)-\(revision)'",
                cause: "it is writable, so it may change while builds are made from it",
                remedy: "make it read-only on the host, or add it anew under another revision"
            )
        }
        // What the link leads to is on the disk before the link is.
        try await storage.synchronize(directory.path)
        try FileTree.remove(newLink)
        let link = directory.linkPath(version: revision.version)
        guard symlink("\(machine)-\(revision)", newLink.string) == 0 else {
            throw FileError("make the link", newLink, Errno(rawValue: errno))
        }
        if let owner { lchown(newLink.string, owner.user, owner.group) }
        guard rename(newLink.string, link.string) == 0 else {
            let reason = Errno(rawValue: errno)
            unlink(newLink.string)
            throw FileError("switch the link", link, reason)
        }
        FileTree.synchronize(directory.path)
    }

    /// Removes revisions with what was received of them. Gives back those that went.
    func remove(_ revisions: [MachineRevision]) async throws {
        for revision in revisions {
            journal.note("\(machine)-\(revision) remove")
            // What was received goes first: without its image nobody would find it again.
            let received = directory.receivedPath(of: revision)
            try await delete(received)
            try ReceivedMark(received).remove()
            try await delete(directory.path(of: revision))
        }
    }

    func delete(_ path: FilePath) async throws(MachineStorageError) {
        do throws(MachineStorageError) {
            try await storage.delete(path)
        } catch  where error.kind == .notFound {
            return
        }
    }

    /// The link before it takes the other's place. Hidden; only the holder of the lock has one.
    private var newLink: FilePath { Self.newLink(of: machine, in: directory.path) }

    static func newLink(of machine: MachineName, in directory: FilePath) -> FilePath {
        directory.appending(".\(machine).new")
    }
}
