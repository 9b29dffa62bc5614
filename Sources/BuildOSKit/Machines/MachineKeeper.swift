import Glibc

/// What a host does with the machines it has: list, roll back, prune, remove. One instance per volume and machine.
public struct MachineKeeper: Sendable {
    private let directory: MachineDirectory
    private let installer: MachineInstaller
    private let area: UploadArea

    private var machine: MachineName { directory.machine }

    /// Creates a keeper.
    ///
    /// - Parameter owner: who gets the links it makes.
    public init(_ directory: MachineDirectory, owner: FileOwner? = .build()) {
        self.directory = directory
        area = UploadArea(volume: directory.volume)
        installer = MachineInstaller(
            directory: directory,
            owner: owner,
            journal: MachineJournal(area, directory.machine),
            began: { _ in }
        )
    }

    /// What a roll-back did.
    public struct RollBack: Sendable, Hashable, Codable {
        /// The revision in effect before.
        public let before: MachineRevision?
        /// The revision in effect now.
        public let now: MachineRevision
    }

    /// Makes an earlier revision the one in effect, by one rename (MACH-9).
    ///
    /// - Parameters:
    ///   - revision: that revision; the newest before the one in effect if `nil`.
    ///   - isDryRun: whether it is only found out what would be done.
    /// - Throws: ``MachineError``
    public func rollBack(to revision: MachineRevision?, isDryRun: Bool = false) async throws(MachineError) -> RollBack {
        try await locked("roll-back", isDryRun: isDryRun) {
            let contents = try await existing()
            let target = try revision ?? earlier(contents)
            guard let found = contents.revisions.first(where: { $0.revision == target }) else {
                throw MachineError(
                    .notFound,
                    "image '\(machine)-\(target)'",
                    cause: "the host does not have it",
                    remedy: "it has \(contents.listedRevisions)"
                )
            }
            let before = contents.current(version: target.version)
            if !isDryRun, before != found.revision { try await installer.activate(found.revision) }
            return RollBack(before: before, now: found.revision)
        }
    }

    private func earlier(_ contents: MachineContents) throws(MachineError) -> MachineRevision {
        guard contents.links.count == 1, let version = contents.links.first?.version else {
            throw MachineError(
                .invalid,
                "machine '\(machine)'",
                cause: contents.links.isEmpty
                    ? "no revision is in effect" : "it has images of several protocol versions",
                remedy: "say which revision is meant: \(contents.listedRevisions)"
            )
        }
        let current = contents.current(version: version)
        let earlier = contents.revisions.map(\.revision).filter { revision in
            revision.version == version && current.map { revision < $0 } ?? true
        }
        guard let newest = earlier.max() else {
            throw MachineError(
                .notFound,
                "machine '\(machine)'",
                cause: "there is no revision before \(current?.description ?? "any")",
                remedy: "it has \(contents.listedRevisions)"
            )
        }
        return newest
    }

    /// Removes all but the newest revisions, and never one in use.
    ///
    /// - Parameter keep: how many remain; at least 1.
    /// - Throws: ``MachineError``
    public func prune(keep: Int, isDryRun: Bool = false) async throws(MachineError) -> MachinePruning {
        try await locked("pruning", isDryRun: isDryRun) {
            let pruning = MachinePruning(try await existing(), keep: keep)
            if !isDryRun { try await installer.remove(pruning.remove) }
            return pruning
        }
    }

    /// What a removal did.
    public struct Removal: Sendable, Hashable, Codable {
        /// The subvolumes that were, or would be, removed.
        public let removed: [String]
        /// The snapshots of builds that are waited for; only in a dry run.
        public let waitsFor: [String]
    }

    /// Removes the machine (MACH-4): its links first, so that no build begins; then, when the builds that run have ended,
    /// all the rest. Can be interrupted, and run again, at any point.
    ///
    /// - Parameters:
    ///   - timeLimit: how long builds are waited for; for ever if `nil`.
    ///   - waiting: gets the snapshots of the builds that are waited for, whenever these change.
    /// - Throws: ``MachineError``; of kind `timedOut` with the builds that still run. The links are gone by then.
    public func remove(
        timeLimit: Duration?,
        isDryRun: Bool = false,
        clock: any Clock<Duration> = ContinuousClock(),
        waiting: @escaping @Sendable ([String]) -> Void = { _ in }
    ) async throws(MachineError) -> Removal {
        try await locked("removal", isDryRun: isDryRun) {
            let contents = try await existing()
            if isDryRun {
                return Removal(
                    removed: contents.bootstrapped.map(\.name) + contents.revisions.map { "\(machine)-\($0.revision)" },
                    waitsFor: contents.temporary.map(\.name)
                )
            }
            let journal = MachineJournal(area, machine)
            journal.note("\(machine) unlink")
            for link in contents.links {
                let path = directory.linkPath(version: link.version)
                guard FileKind(path) == .link else { continue }
                try FileTree.remove(path)
            }
            FileTree.synchronize(directory.path)
            journal.note("\(machine) wait")
            var removed = try await removeDerived(timeLimit, clock, waiting)
            journal.note("\(machine) delete")
            let images = try await directory.contents().revisions.map(\.revision)
            try await installer.remove(images)
            removed += images.map { "\(machine)-\($0)" }
            try await removeReceived()
            try removeDirectory()
            journal.note("\(machine) removed")
            try area.forget(machine)
            return Removal(removed: removed, waitsFor: [])
        }
    }

    /// Waits for builds, and removes the images with toolchains, from which others would begin, until neither is there.
    private func removeDerived(
        _ timeLimit: Duration?,
        _ clock: any Clock<Duration>,
        _ waiting: @Sendable ([String]) -> Void
    ) async throws -> [String] {
        var (removed, shown, waited) = ([String](), [String](), Duration.zero)
        while true {
            let contents = try await directory.contents()
            let builds = contents.temporary.map(\.name)
            if builds.isEmpty {
                if contents.bootstrapped.isEmpty { return removed }
                for image in contents.bootstrapped {
                    try await installer.delete(directory.path.appending(image.name))
                    removed.append(image.name)
                }
                continue
            }
            if builds != shown { waiting(builds) }
            shown = builds
            if let timeLimit, waited >= timeLimit {
                throw MachineError(
                    .timedOut,
                    "machine '\(machine)'",
                    cause: "builds still run in it: \(builds.joined(separator: ", "))",
                    remedy: "no new ones begin; run it again later to remove the rest"
                )
            }
            let pause = min(Duration.seconds(1), timeLimit.map { $0 - waited } ?? .seconds(1))
            try await clock.sleep(for: pause)
            waited += pause
        }
    }

    private func removeReceived() async throws {
        guard FileKind(directory.received) == .directory else { return }
        for subvolume in try await directory.storage.subvolumes(in: directory.received) {
            try await installer.delete(subvolume.path)
            try ReceivedMark(subvolume.path).remove()
        }
        try ReceivedMark.removeOrphans(in: directory.received)
        guard rmdir(directory.received.string) == 0 || errno == ENOENT else {
            throw FileError("remove", directory.received, Errno(rawValue: errno))
        }
    }

    private func removeDirectory() throws {
        let left = try FileTree.names(in: directory.path)
        guard left.isEmpty else {
            throw MachineError(
                .storage,
                "directory \(directory.path)",
                cause: "something else is in it: \(printable(left.joined(separator: ", "), limit: 300))",
                remedy: "the machine is gone; look at what is left and remove it by hand"
            )
        }
        guard rmdir(directory.path.string) == 0 || errno == ENOENT else {
            throw FileError("remove", directory.path, Errno(rawValue: errno))
        }
    }

    private func existing() async throws(MachineError) -> MachineContents {
        let contents = try await directory.contents()
        guard contents.exists else {
            throw MachineError(
                .notFound,
                "machine '\(machine)'",
                cause: "there is none on volume '\(directory.volumeName)'",
                remedy: "'buildosctl machine list' shows the machines there are"
            )
        }
        return contents
    }

    private func locked<Answer: Sendable>(
        _ purpose: String,
        isDryRun: Bool,
        _ body: () async throws -> Answer
    ) async throws(MachineError) -> Answer {
        do {
            try await directory.requireVolume()
            // Whoever only looks disturbs nobody, nor makes anything.
            if isDryRun { return try await body() }
            _ = try await existing()
            let lock = try MachineLock(area, machine, purpose: purpose)
            defer { withExtendedLifetime(lock) {} }
            return try await body()
        } catch {
            throw MachineError(error, subject: "machine '\(machine)'")
        }
    }
}

extension MachineContents {
    var listedRevisions: String {
        revisions.isEmpty ? "no revision" : revisions.map(\.revision.description).joined(separator: ", ")
    }
}

/// A host's machines, volume by volume.
public struct MachineListing: Sendable, Hashable, Codable {
    /// A volume.
    public struct Volume: Sendable, Hashable, Codable {
        /// Its name.
        public let name: VolumeName
        /// The room on it; `nil` if it is of a kind that this host can't read.
        public let space: VolumeSpace?
        /// Its machines, by name.
        public let machines: [MachineContents]
        /// What can't be read of it.
        public let problem: MachineError?
    }

    /// The volumes, by name.
    public let volumes: [Volume]

    /// Reads all volumes.
    ///
    /// - Throws: ``MachineError`` if the directory of volumes can't be read.
    public init(storage: any MachineStorage, layout: MachineLayout = MachineLayout()) async throws(MachineError) {
        var volumes: [Volume] = []
        do {
            for path in try layout.volumes() {
                guard let name = try? VolumeName(path.lastComponent?.string ?? "") else { continue }
                volumes.append(await Self.read(name, path, storage, layout))
            }
        } catch {
            throw MachineError(error, subject: layout.root.string)
        }
        self.volumes = volumes
    }

    private static func read(
        _ name: VolumeName,
        _ path: FilePath,
        _ storage: any MachineStorage,
        _ layout: MachineLayout
    ) async -> Volume {
        do {
            var machines: [MachineContents] = []
            for (machine, _) in try MachineLayout.machines(in: path) {
                let directory = MachineDirectory(storage: storage, layout: layout, volume: name, machine: machine)
                if machines.isEmpty { try await directory.requireVolume() }
                machines.append(try await directory.contents())
            }
            return Volume(name: name, space: try await storage.space(of: path), machines: machines, problem: nil)
        } catch {
            return Volume(name: name, space: nil, machines: [], problem: MachineError(error, subject: path.string))
        }
    }
}
