/// A snapshot of a machine, and what is to run in it.
struct Stage: Sendable {
    let snapshot: FilePath
    let exchange: GuestExchange
    var order: GuestOrder
}

/// A guest of a machine that stands at its saved memory, all made, before there is a task: one that comes then begins as
/// soon as its worker has asked for it again.
struct Standby: Sendable {
    let held: HeldMachine
    let stage: Stage
    let guest: ReadyGuest
}

extension TaskBuild {
    /// Makes a guest that waits for a task. To be called when the machine's memory is saved.
    ///
    /// - Returns: `nil` if there is no saved memory that fits.
    /// - Throws: errors of storage, network and hypervisor; nothing is left then.
    func standBy(_ held: HeldMachine) async throws -> Standby? {
        let stage = try await stage(held, false, true)
        guard stage.order.memory != nil else {
            await storage.discard(stage.snapshot, logger)
            return nil
        }
        do {
            return Standby(held: held, stage: stage, guest: try await runner.makeReady(stage.order))
        } catch {
            await storage.discard(stage.snapshot, logger)
            throw error
        }
    }

    /// Takes away a guest for which no task came.
    func remove(_ standby: Standby) async {
        await runner.remove(standby.guest)
        await storage.discard(standby.stage.snapshot, logger)
    }
}

extension GuestOrder {
    /// Opens its screen to everybody, and gives those who come the time that a controller gives them.
    mutating func makeInteractive() {
        definition.display = VirtualDisplay(host: "0.0.0.0", port: number.displayPort)
        limits.work = max(limits.work, GuestLimits.interactiveWork)
    }
}

extension VirtualMachineError {
    /// Whether booting instead may help.
    var isOfSavedMemory: Bool { kind == .badSnapshot || kind == .cannotStart }
}
