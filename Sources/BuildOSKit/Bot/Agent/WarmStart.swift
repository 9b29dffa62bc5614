import FoundationEssentials

/// Saved memory of a bootstrapped machine whose worker waits for its first answer: a build goes on from there instead of
/// booting.
///
/// Memory and disk lie together in `<name>-<T>`, which a build snapshots as a whole. They hold for one hypervisor, one CPU
/// model and one shape of guest; for any other the machine is booted, and its memory saved anew.
struct WarmStart: Sendable {
    let facts: HypervisorFacts
    let storage: any MachineStorage
    let machines: any VirtualMachines
    let runner: GuestRunner
    let settings: AgentSettings
    let logger: Logger

    static let directoryName = ".warm"

    /// What saved memory holds for.
    struct Key: Sendable, Hashable, Codable {
        var backend: String
        var hypervisor: String
        var processor: String
        var guest: String
    }

    private static func memoryFile(in directory: FilePath) -> FilePath {
        directory.appending(directoryName).appending("memory")
    }

    private static func keyFile(in directory: FilePath) -> FilePath {
        directory.appending(directoryName).appending("key.json")
    }

    /// The saved memory in a snapshot, if it is of a guest such as the one ordered.
    func memory(in snapshot: FilePath, for order: GuestOrder) async -> FilePath? {
        guard machines.capabilities.memorySnapshots,
            let bytes = try? FileTree.read(Self.keyFile(in: snapshot)),
            let key = try? JSONDecoder().decode(Key.self, from: Data(bytes)), key == (try? await self.key(of: order)),
            FileTree.exists(Self.memoryFile(in: snapshot))
        else { return nil }
        return Self.memoryFile(in: snapshot)
    }

    /// Saves the memory of a bootstrapped machine if that isn't done. To be called with the machine's lock.
    ///
    /// - Parameter begin: called before it is done.
    /// - Returns: whether builds can go on from there. A machine whose memory can't be saved stays as it was.
    func prepare(_ machine: BuildMachine, _ made: BootstrappedManifest, begin: @Sendable () async -> Void) async -> Bool
    {
        guard machines.capabilities.memorySnapshots, settings.startsWarm else { return false }
        var isReady = false
        let target = machine.bootstrapped(settings.number.toolchain)
        let snapshot = machine.temporary(settings.number)
        do {
            let exchange = GuestExchange(in: snapshot)
            let order = try TaskBuild.order(made, snapshot, exchange, settings, isBoosted: false)
            if await memory(in: target, for: order) != nil { return true }
            await begin()
            try await storage.snapshot(target, to: snapshot, readOnly: false)
            let directory = snapshot.appending(Self.directoryName)
            try FileTree.remove(directory)
            try FileTree.makeDirectory(directory)
            try exchange.make()
            try FileTree.write("", to: exchange.get.appending(TaskBuild.taskName))
            try await runner.captureMemory(of: order, to: Self.memoryFile(in: snapshot))
            try FileTree.remove(exchange.directory)
            try FileTree.write(
                Array(try JSONEncoder().encode(try await key(of: order))),
                to: Self.keyFile(in: snapshot)
            )
            try await storage.synchronize(snapshot)
            try await storage.delete(target)
            try await storage.snapshot(snapshot, to: target, readOnly: true)
            logger.notice("machine \(machine.name): its memory is saved, builds go on from there")
            isReady = true
        } catch {
            logger.warning("machine \(machine.name): its memory can't be saved, builds boot it: \(error)")
        }
        await Task { if FileTree.exists(snapshot) { try? await storage.delete(snapshot) } }.value
        return isReady
    }

    /// Removes saved memory that is damaged, so that it is made anew before the next build. To be called with the machine's
    /// lock.
    func discard(_ machine: BuildMachine) async {
        let target = machine.bootstrapped(settings.number.toolchain)
        do {
            try await storage.setReadOnly(false, target)
            try FileTree.remove(target.appending(Self.directoryName))
            try await storage.setReadOnly(true, target)
        } catch {
            logger.warning("machine \(machine.name): its saved memory can't be removed: \(error)")
        }
    }

    private func key(of order: GuestOrder) async throws -> Key {
        let definition = order.connectedDefinition
        return Key(
            backend: machines.backendName,
            hypervisor: await facts.version(),
            processor: try facts.processor(),
            guest: [
                "\(definition.cpus)", "\(definition.memory.kibibytes)", "\(order.macAddress)",
                definition.deviceOptions?.joined(separator: " ") ?? "", "\(definition.board)",
            ].joined(separator: "\n")
        )
    }
}
