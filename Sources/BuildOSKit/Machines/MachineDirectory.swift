import Glibc

/// One machine's directory on a host: what is in it, read through the storage (MACH-1).
public struct MachineDirectory: Sendable {
    /// The storage that its volume lies on.
    public let storage: any MachineStorage
    /// The volume's name.
    public let volumeName: VolumeName
    /// The volume's directory.
    public let volume: FilePath
    /// The machine.
    public let machine: MachineName

    /// Creates a view of a machine's directory, which need not be there.
    public init(storage: any MachineStorage, layout: MachineLayout, volume: VolumeName, machine: MachineName) {
        self.storage = storage
        self.volumeName = volume
        self.volume = layout.root.appending(volume.text)
        self.machine = machine
    }

    /// `<volume>/<name>`
    public var path: FilePath { volume.appending(machine.text) }
    /// `<volume>/<name>/.received`
    public var received: FilePath { path.appending(MachineEntry.receivedDirectory) }

    /// Where an image is for those who use it.
    public func path(of revision: MachineRevision) -> FilePath {
        path.appending(MachineEntry.initial(revision).fileName(of: machine))
    }

    /// Where an image is as it was received.
    public func receivedPath(of revision: MachineRevision) -> FilePath {
        received.appending(MachineEntry.initial(revision).fileName(of: machine))
    }

    /// The link to the image in effect.
    public func linkPath(version: Int) -> FilePath {
        path.appending(MachineEntry.current(version: version).fileName(of: machine))
    }

    /// Checks that the volume is there and of the storage's kind.
    ///
    /// - Throws: ``MachineError``
    public func requireVolume() async throws(MachineError) {
        guard FileKind(volume) == .directory else {
            throw MachineError(
                .notFound,
                "volume '\(volumeName)'",
                cause: "there is no directory \(volume)",
                remedy: "give the name of a volume that the host has: 'buildosctl machine list' shows them"
            )
        }
        let isVolume: Bool
        do throws(MachineStorageError) {
            isVolume = try await storage.isVolume(volume)
        } catch {
            throw MachineError(error, subject: volume.string)
        }
        guard isVolume else {
            throw MachineError(
                .storage,
                "volume '\(volumeName)'",
                cause: "\(volume) is not on a file system of the storage '\(storage.backendName)'",
                remedy: "format the disk with mkfs.btrfs and label it buildos.machines"
            )
        }
    }

    /// What the directory holds; nothing if it isn't there.
    ///
    /// - Throws: ``MachineError``
    public func contents() async throws(MachineError) -> MachineContents {
        guard FileKind(path) == .directory else {
            return MachineContents(volume: volumeName, machine: machine, exists: false)
        }
        do {
            var contents = MachineContents(volume: volumeName, machine: machine, exists: true)
            for name in try FileTree.names(in: path) {
                guard case .current(let version) = MachineEntry(name, of: machine) else { continue }
                contents.links.append(
                    .init(version: version, target: FileKind.target(ofLink: path.appending(name)).map { printable($0) })
                )
            }
            var received: [String: Subvolume] = [:]
            if FileKind(self.received) == .directory {
                for subvolume in try await storage.subvolumes(in: self.received)
                where ReceivedMark(subvolume.path).holds(for: subvolume) {
                    received[subvolume.name] = subvolume
                }
            }
            for subvolume in try await storage.subvolumes(in: path) {
                contents.add(subvolume, received: received[subvolume.name])
            }
            contents.received = received.values.compactMap { subvolume in
                guard case .initial(let revision) = MachineEntry(subvolume.name, of: machine) else { return nil }
                return .init(revision: revision, identity: subvolume.receivedUUID)
            }
            .sorted { $0.revision < $1.revision }
            return contents
        } catch {
            throw MachineError(error, subject: path.string)
        }
    }
}

/// What a machine's directory holds, as listings and plans need it.
public struct MachineContents: Sendable, Hashable, Codable {
    /// A link to an image.
    public struct Link: Sendable, Hashable, Codable {
        /// The protocol version in its name.
        public let version: Int
        /// Where it points; `nil` for something that isn't a link.
        public let target: String?
    }

    /// An image in its place.
    public struct Revision: Sendable, Hashable, Codable {
        /// Its revision.
        public let revision: MachineRevision
        /// Whether it can't be changed.
        public let isReadOnly: Bool
        /// The identity on this host.
        public let uuid: String?
        /// The identity on the host that sent it; `nil` if it was made here.
        public let identity: String?
    }

    /// An image as it was received: the base of a next upload.
    public struct Received: Sendable, Hashable, Codable {
        /// Its revision.
        public let revision: MachineRevision
        /// The identity on the host that sent it.
        public let identity: String?
    }

    /// A toolchain's image, or the snapshot of a build.
    public struct Derived: Sendable, Hashable, Codable {
        /// The name of the subvolume.
        public let name: String
        /// The toolchain.
        public let toolchain: ToolchainName
        /// The identity of what it is a snapshot of.
        public let parentUUID: String?
    }

    /// The volume.
    public let volume: VolumeName
    /// The machine.
    public let machine: MachineName
    /// Whether there is such a directory.
    public let exists: Bool
    /// The links to images in effect.
    public var links: [Link] = []
    /// The images in their places, in ascending order.
    public var revisions: [Revision] = []
    /// The images as they were received, in ascending order.
    public var received: [Received] = []
    /// The images with toolchains.
    public var bootstrapped: [Derived] = []
    /// The snapshots in which builds, or bootstraps, go on.
    public var temporary: [Derived] = []

    /// Creates a description of a directory without anything in it.
    public init(volume: VolumeName, machine: MachineName, exists: Bool) {
        self.volume = volume
        self.machine = machine
        self.exists = exists
    }

    mutating func add(_ subvolume: Subvolume, received: Subvolume?) {
        switch MachineEntry(subvolume.name, of: machine) {
        case .initial(let revision):
            revisions.append(
                Revision(
                    revision: revision,
                    isReadOnly: subvolume.isReadOnly,
                    uuid: subvolume.uuid,
                    identity: received?.receivedUUID ?? subvolume.receivedUUID
                )
            )
            revisions.sort { $0.revision < $1.revision }
        case .bootstrapped(let toolchain):
            bootstrapped.append(
                Derived(name: subvolume.name, toolchain: toolchain, parentUUID: subvolume.parentUUID)
            )
        case .temporary(let toolchain, _):
            temporary.append(Derived(name: subvolume.name, toolchain: toolchain, parentUUID: subvolume.parentUUID))
        case .current, nil: break
        }
    }

    /// The revision in effect for a protocol version: what the link leads to, if that is there and read-only.
    public func current(version: Int) -> MachineRevision? {
        guard let target = links.first(where: { $0.version == version })?.target,
            case .initial(let revision) = MachineEntry(target, of: machine), revision.version == version,
            revisions.contains(where: { $0.revision == revision && $0.isReadOnly })
        else { return nil }
        return revision
    }

    /// Whether a revision is in effect.
    public func isCurrent(_ revision: MachineRevision) -> Bool { current(version: revision.version) == revision }

    /// Whether something in the directory still needs a revision: its link, or a snapshot made from it.
    public func isInUse(_ revision: Revision) -> Bool {
        if links.contains(where: { $0.target == "\(machine)-\(revision.revision)" }) { return true }
        guard let uuid = revision.uuid else { return false }
        return (bootstrapped + temporary).contains { $0.parentUUID == uuid }
    }
}
