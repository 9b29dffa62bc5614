/// A task of a higher priority that takes the machine of one that runs (bbot-agent(1), "Controllers"; build2-facts, 2.10).
extension BuildAgent {
    /// A task, and who has it.
    typealias Offer = (assignment: TaskResponse.Assignment, controller: Controller)

    /// Asks the controllers that may interrupt a task for one in its machine, until one has one or the task is done.
    ///
    /// Only the machine that is in use is offered: with others, instances that are idle ask by themselves.
    ///
    /// - Parameter running: who has the task that runs.
    /// - Returns: the task to build instead; `nil` if there was none until then.
    func challenge(to running: Controller, in made: BootstrappedManifest) async -> Offer? {
        let above = settings.controllers.filter {
            ControllerPriority($0).interruption(of: ControllerPriority(running)) != .none
        }
        guard !above.isEmpty else { return nil }
        let request = taskRequest([made])
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
            guard assignment.task.machine == made.machine.header.name else {
                logger.error("\(controller.url): its task is for a machine that was not offered to it")
                continue
            }
            return (assignment, controller)
        }
        return nil
    }
}
