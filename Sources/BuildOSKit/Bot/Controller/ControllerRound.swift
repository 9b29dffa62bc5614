/// What came of asking all controllers once.
public enum ControllerRound: Sendable {
    /// A task, and who has it.
    case task(TaskResponse.Assignment, from: Controller)
    /// None, and why.
    case nothing(reasons: [Reason])

    /// Why a controller gave no task.
    public enum Reason: Sendable, Hashable, CustomStringConvertible {
        /// It has none for this host's machines.
        case noTask(Controller)
        /// It could not be asked, or its answer made no sense.
        case failed(Controller, ControllerError)

        public var description: String {
            switch self {
            case .noTask(let controller): "\(controller.url) has no task"
            case .failed(_, let error): error.description
            }
        }
    }
}

extension ControllerClient {
    /// Asks controllers for a task, one after the other by priority, until one has one.
    ///
    /// - Parameters:
    ///   - running: the priorities of the tasks that run on this host.
    ///   - generator: decides among controllers of one priority.
    /// - Throws: `CancellationError`
    public func task(
        fromAny controllers: [Controller],
        whileRunning running: [ControllerPriority] = [],
        for request: TaskRequest,
        using generator: inout some RandomNumberGenerator
    ) async throws(CancellationError) -> ControllerRound {
        var reasons: [ControllerRound.Reason] = []
        for controller in ControllerPriority.order(controllers, whileRunning: running, using: &generator) {
            do {
                if let assignment = try await task(from: controller.url, for: request) {
                    return .task(assignment, from: controller)
                }
                reasons.append(.noTask(controller))
            } catch {
                guard error.kind != .cancelled else { throw CancellationError() }
                reasons.append(.failed(controller, error))
            }
        }
        return .nothing(reasons: reasons)
    }

    /// How long to wait before all are asked again.
    public func pollPause(using generator: inout some RandomNumberGenerator) -> Duration {
        let milliseconds = Int64(settings.pollPause / .milliseconds(1))
        return .milliseconds(milliseconds + Int64.random(in: 0...max(0, milliseconds / 5), using: &generator))
    }
}
