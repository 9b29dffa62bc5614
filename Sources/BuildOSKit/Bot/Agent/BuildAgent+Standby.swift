/// A guest that waits for a task, so that one that comes begins at once: a machine's memory was read and its CPUs stand.
///
/// It holds the machine's lock, and is the instance's only guest: it goes before another is made.
extension BuildAgent {
    var taskBuild: TaskBuild {
        TaskBuild(
            runner: runner,
            storage: ports.storage,
            transport: ports.transport,
            settings: settings,
            warmStart: warmStart,
            logger: logger
        )
    }

    /// Has a guest wait: of the machine that was built in last, if it is at hand.
    func makeStandby(_ held: [HeldMachine]) async {
        guard standby == nil, settings.standsBy, settings.startsWarm else { return }
        let warm = held.filter { $0.role == .build && !cold.contains($0.machine.directory) }
        guard let next = warm.first(where: { $0.machine.directory == lastBuilt }) ?? warm.first else { return }
        do {
            standby = try await taskBuild.standBy(next)
        } catch  where Task.isCancelled {
            // The agent was told to end.
        } catch {
            logger.warning("machine \(next.machine.name): its saved memory can't be used: \(error)")
            if (error as? VirtualMachineError)?.kind == .badSnapshot { await warmStart.discard(next.machine) }
        }
    }

    /// Takes the guest that waits for a build, if it is of the machine and the task needs none of another kind.
    func takeStandby(for offer: Offer, in held: HeldMachine) async -> Standby? {
        guard let ready = standby else { return nil }
        guard ready.held.machine == held.machine, offer.assignment.task.interactive == nil,
            !ControllerPriority(offer.controller).isBoosted
        else {
            await dropStandby()
            return nil
        }
        standby = nil
        return ready
    }

    /// Takes the guest that waits away.
    func dropStandby() async {
        guard let gone = standby else { return }
        standby = nil
        await taskBuild.remove(gone)
    }

    /// Takes it away if its machine is not what it was.
    func checkStandby(_ content: MachineCatalog.Content) async {
        if let machine = standby?.held.machine, !content.machines.contains(machine) { await dropStandby() }
    }

    /// Whether its machine has another image in effect by now, or none, as it is to be removed.
    var isStandbyOutdated: Bool {
        guard let machine = standby?.held.machine else { return false }
        return FileKind.target(ofLink: machine.link) != machine.image.lastComponent?.string
    }
}
