import Glibc

/// Makes `<name>-<T>` of `<name>-<P>`: the image is cloned, a guest puts the toolchain into the clone, and the clone gets
/// its name when all of that went well (BOT-1). An auxiliary machine gets no toolchain: it is booted until it says that it
/// can be used, so that what it does at its first start is done once.
public struct MachineBootstrap: Sendable {
    private let runner: GuestRunner
    private let storage: any MachineStorage
    private let settings: AgentSettings
    private let logger: Logger

    /// The file that a guest hands over when the toolchain is in it.
    static let manifestName = "bootstrap.manifest"

    init(runner: GuestRunner, storage: any MachineStorage, settings: AgentSettings, logger: Logger) {
        self.runner = runner
        self.storage = storage
        self.settings = settings
        self.logger = logger
    }

    /// Why a machine could not be bootstrapped.
    public struct Failure: DiagnosableError, Hashable {
        public let subject: String
        public let cause: String
        public var remedy: String? { "see the machine's console in the log of the agent" }
    }

    /// Bootstraps a machine. To be called with its lock, and the right to bootstrap.
    ///
    /// - Throws: ``Failure`` if the guest failed; `CancellationError` if the agent was told to end; errors of storage,
    ///   network and hypervisor for faults of this host.
    func run(_ machine: BuildMachine, progress: @escaping @Sendable (GuestProgress) -> Void) async throws {
        for attempt in 0...settings.retries {
            let snapshot = machine.temporary(settings.number)
            try await storage.snapshot(machine.image, to: snapshot, readOnly: false)
            do {
                let outcome = try await bootstrap(machine, in: snapshot, progress)
                switch outcome {
                case .delivered:
                    try await keep(snapshot, machine)
                    return
                case .interrupted: throw CancellationError()
                case .neverCalled(let reason) where attempt < settings.retries:
                    logger.warning("machine \(machine.name): \(reason); its bootstrap is tried again")
                    await storage.discard(snapshot, logger)
                case .neverCalled, .died, .overdue:
                    let console = GuestExchange(in: snapshot).consoleEnd()
                    if !console.isEmpty {
                        logger.notice("machine \(machine.name): its console ended with:\n\(console)")
                    }
                    throw Failure(subject: "bootstrap of machine '\(machine.name)'", cause: outcome.description)
                }
            } catch {
                await storage.discard(snapshot, logger)
                throw error
            }
        }
    }

    private func bootstrap(
        _ machine: BuildMachine,
        in snapshot: FilePath,
        _ progress: @escaping @Sendable (GuestProgress) -> Void
    ) async throws -> GuestOutcome {
        let exchange = GuestExchange(in: snapshot)
        try exchange.make()
        var manifest = machine.manifest
        manifest.macAddress = manifest.macAddress ?? .random()
        let outcome = try await runner.run(try order(manifest, snapshot, exchange), progress: progress)
        guard outcome == .delivered else { return outcome }
        var made = BootstrapManifest(versions: [:])
        if manifest.header.role == .build {
            let file = exchange.put.appending(Self.manifestName)
            let manifests = try ManifestParser.parse(try FileTree.read(file), source: file.string)
            made = BootstrapManifest(manifests.first ?? Manifest())
            guard !made.versions.isEmpty else { return .died("it handed over a manifest without versions") }
        }
        try FileTree.remove(exchange.directory)
        try BootstrappedManifest(machine: manifest, toolchainID: settings.toolchainID, bootstrap: made)
            .write(to: snapshot)
        return .delivered
    }

    private func order(
        _ manifest: MachineManifest,
        _ snapshot: FilePath,
        _ exchange: GuestExchange
    ) throws -> GuestOrder {
        let isAuxiliary = manifest.header.role == .auxiliary
        let awaited = isAuxiliary ? AuxiliaryEnvironment.fileName : Self.manifestName
        var resources = settings.resources
        if isAuxiliary {
            resources.memory = try AuxiliaryMemory.shares(of: settings.auxiliaryMemory, among: [manifest.header])[0]
        }
        return GuestOrder(
            number: settings.number,
            bridge: settings.bridge.rawValue,
            definition: try manifest.definition(
                name: settings.number.virtualMachine,
                in: snapshot,
                resources: resources,
                runtimeDirectory: settings.paths.runtime
            ),
            macAddress: manifest.macAddress ?? .random(),
            readRoot: isAuxiliary
                ? exchange.get : settings.paths.toolchainFiles.appending(settings.number.toolchain.text),
            uploads: exchange.uploads([awaited]),
            awaited: [awaited],
            limits: isAuxiliary ? settings.auxiliaryLimits : settings.bootstrapLimits,
            ending: .powerDown
        )
    }

    /// Gives the clone its name. Between the two steps there is none of that name, which is what a crash may leave.
    private func keep(_ snapshot: FilePath, _ machine: BuildMachine) async throws {
        let target = machine.bootstrapped(settings.number.toolchain)
        try await storage.synchronize(snapshot)
        if FileTree.exists(target) { try await storage.delete(target) }
        try await storage.snapshot(snapshot, to: target, readOnly: true)
        await storage.discard(snapshot, logger)
    }
}
