import Glibc

/// A build machine of this host, as an instance finds it (BOT-1).
public struct BuildMachine: Sendable, Hashable {
    /// Whether it can be used.
    public enum Readiness: Sendable, Hashable {
        /// The toolchain that runs is in it.
        case ready(BootstrappedManifest)
        /// It must be bootstrapped first, and why.
        case needsBootstrap(String)
    }

    /// Its name, that of its directory.
    public let name: MachineName
    /// `<volume>/<name>`
    public let directory: FilePath
    /// The image in effect.
    public let revision: MachineRevision
    /// What the image's manifest says.
    public let manifest: MachineManifest
    /// Whether it can be used.
    public let readiness: Readiness

    /// The image in effect.
    public var image: FilePath { directory.appending(MachineEntry.initial(revision).fileName(of: name)) }

    /// The link to the image in effect.
    var link: FilePath {
        directory.appending(MachineEntry.current(version: MachineCatalog.protocolVersion).fileName(of: name))
    }

    /// The machine with a toolchain in it, whether it is there or not.
    public func bootstrapped(_ toolchain: ToolchainName) -> FilePath {
        directory.appending(MachineEntry.bootstrapped(toolchain).fileName(of: name))
    }

    /// A new temporary snapshot's name, by which its instance finds it again (BOT-2).
    public func temporary(_ number: GuestNumber) -> FilePath {
        let random = String(UInt32.random(in: .min ... .max), radix: 36)
        return directory.appending(
            MachineEntry.temporary(number.toolchain, suffix: number.snapshotPrefix + random).fileName(of: name)
        )
    }

    /// Name of its volume and its own, which no other machine of the host has: for locks and notes.
    var key: String { "\(directory.removingLastComponent().lastComponent?.string ?? "")-\(name)" }
}

/// What machines a host has for a toolchain (MACH-1, BOT-1).
public struct MachineCatalog: Sendable {
    /// The version of the bootstrap protocol that this agent speaks: the `<P>` of `<name>-<P>`.
    public static let protocolVersion = 1

    private let layout: MachineLayout
    private let toolchain: ToolchainName
    private let toolchainID: String

    /// Creates a catalog.
    public init(layout: MachineLayout, toolchain: ToolchainName, toolchainID: String) {
        self.layout = layout
        self.toolchain = toolchain
        self.toolchainID = toolchainID
    }

    /// What was found.
    public struct Content: Sendable, Hashable {
        /// The machines, by volume and name.
        public var machines: [BuildMachine] = []
        /// What is in the way of using others.
        public var problems: [String] = []
    }

    /// Looks at all volumes. Changes nothing.
    public func content() -> Content {
        var content = Content()
        do {
            for volume in try layout.volumes() {
                for (name, directory) in try MachineLayout.machines(in: volume) {
                    do throws(CatalogProblem) {
                        if let machine = try machine(name, directory) { content.machines.append(machine) }
                    } catch {
                        content.problems.append(error.text)
                    }
                }
            }
        } catch {
            if error.errno != .noSuchFileOrDirectory { content.problems.append(error.description) }
        }
        return content
    }

    private struct CatalogProblem: Error { let text: String }

    /// One machine; `nil` if none of its images is in effect.
    private func machine(_ name: MachineName, _ directory: FilePath) throws(CatalogProblem) -> BuildMachine? {
        let link = directory.appending(MachineEntry.current(version: Self.protocolVersion).fileName(of: name))
        guard let target = FileKind.target(ofLink: link) else { return nil }
        guard case .initial(let revision) = MachineEntry(target, of: name), revision.version == Self.protocolVersion
        else { throw CatalogProblem(text: "\(link): it does not point to an image of this machine") }
        let manifest: MachineManifest
        do { manifest = try MachineManifest(machineAt: directory.appending(target)) } catch {
            throw CatalogProblem(text: "\(error)")
        }
        return BuildMachine(
            name: name,
            directory: directory,
            revision: revision,
            manifest: manifest,
            readiness: readiness(
                directory.appending(MachineEntry.bootstrapped(toolchain).fileName(of: name)),
                manifest
            )
        )
    }

    private func readiness(_ bootstrapped: FilePath, _ manifest: MachineManifest) -> BuildMachine.Readiness {
        guard FileTree.exists(bootstrapped) else { return .needsBootstrap("it was never bootstrapped") }
        guard let made = try? BootstrappedManifest(machineAt: bootstrapped) else {
            return .needsBootstrap("what its last bootstrap left can't be read")
        }
        guard made.machine.header.id == manifest.header.id else { return .needsBootstrap("its image has changed") }
        // An auxiliary machine has no toolchain in it.
        guard made.toolchainID == toolchainID || manifest.header.role == .auxiliary else {
            return .needsBootstrap("the toolchain has changed")
        }
        return .ready(made)
    }
}

/// Locks by which the instances of a host keep out of each other's way. They lie outside the machines' directories, which
/// can so be removed when they are empty.
public struct MachineLocks: Sendable {
    /// Where they are on a host: in RAM, as no lock outlives a boot.
    public static let standard: FilePath = "/run/buildos/locks"

    private let directory: FilePath
    private let toolchain: ToolchainName

    /// Creates locks.
    ///
    /// - Throws: ``FileError`` if the directory can't be made.
    public init(_ directory: FilePath, toolchain: ToolchainName) throws(FileError) {
        try FileTree.makeDirectory(directory)
        self.directory = directory
        self.toolchain = toolchain
    }

    /// Takes a machine for a build or a bootstrap; `nil` if another instance has it.
    public func take(_ machine: BuildMachine) throws(FileError) -> FileLock? {
        try FileLock.take(directory.appending("\(machine.key)-\(toolchain).lock"))
    }

    /// Takes the right to bootstrap, which one instance of a toolchain has at a time.
    public func takeBootstrap() throws(FileError) -> FileLock? {
        try FileLock.take(directory.appending("bootstrap-\(toolchain).lock"))
    }

    /// Where it is noted how the bootstraps of a machine failed.
    func failureNote(_ machine: BuildMachine) -> FilePath {
        directory.appending("\(machine.key)-\(toolchain).failed")
    }
}
