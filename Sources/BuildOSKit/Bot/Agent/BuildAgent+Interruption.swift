import Glibc

/// A task of a higher priority that takes the machine of one that runs (bbot-agent(1), "Controllers"; build2-facts, 2.10).
extension BuildAgent {
    /// A task, and who has it.
    typealias Offer = (assignment: TaskResponse.Assignment, controller: Controller)

    /// Has other instances end what they build if a task of this controller may end all of theirs.
    func interruptOthers(for controller: Controller) {
        for other in othersAtBuild() {
            guard let task = other.task, let theirs = task.priority,
                ControllerPriority(controller).interruption(of: theirs) == .all
            else { continue }
            logger.notice("instance \(other.toolchain)-\(other.instance) is to end \(task.name)/\(task.version)")
            let request = InterruptRequest(processId: other.processId, task: task.number)
            do { try request.write(to: other, in: settings.paths.status) } catch {
                logger.error("it could not be told: \(error)")
            }
        }
    }

    /// Waits until another instance wants a task of this one ended.
    ///
    /// - Returns: whether that came; no if the wait was cancelled.
    func awaitInterruption(ofTask number: Int) async -> Bool {
        let wanted = InterruptRequest(processId: getpid(), task: number)
        while (try? await Task.sleep(for: .seconds(1))) != nil {
            guard InterruptRequest.current(for: settings.number, in: settings.paths.status) == wanted else { continue }
            InterruptRequest.remove(for: settings.number, in: settings.paths.status)
            return true
        }
        return false
    }

    /// Asks the controllers that may interrupt a task for one in its machine, until one has one or the task is done.
    ///
    /// Only the machines that are in use are offered: with others, instances that are idle ask by themselves.
    ///
    /// - Parameter running: who has the task that runs.
    /// - Returns: the task to build instead; `nil` if there was none until then.
    func challenge(to running: Controller, with held: [HeldMachine]) async -> Offer? {
        let above = settings.controllers.filter {
            ControllerPriority($0).interruption(of: ControllerPriority(running)) != .none
        }
        guard !above.isEmpty else { return nil }
        let request = taskRequest(held)
        var generator = SystemRandomNumberGenerator()
        while await watchPause(client.pollPause(using: &generator)) {
            guard DrainRequest.current(settings.paths.drain) == nil else { continue }
            let answer: ControllerRound
            do {
                answer = try await client.task(
                    fromAny: above,
                    whileRunning: runningPriorities(),
                    for: request,
                    using: &generator
                )
            } catch { return nil }
            guard case .task(let assignment, let controller) = answer else { continue }
            return (assignment, controller)
        }
        return nil
    }
}
