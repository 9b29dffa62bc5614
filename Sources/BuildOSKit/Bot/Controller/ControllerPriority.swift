/// What the digits `[F]DCBA` before a controller's URL mean (bbot-agent(1), "Controllers"; build2-facts, 2.10).
///
/// All of them order controllers, D first. Beyond that, B, C and D keep those below from being asked while a task of a
/// controller above runs; C may interrupt one task of a lower C, and D all of a lower D. F gives a task every CPU.
public struct ControllerPriority: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// What a task of one priority may do to those that run.
    public enum Interruption: Sendable, Hashable {
        /// Nothing: it waits for room.
        case none
        /// End one of them, if it needs its machine or its place.
        case one
        /// End all of them.
        case all
    }

    /// The priority of a controller that was given none: the lowest.
    public static let lowest = ControllerPriority(level: 0, isBoosted: false)

    /// The digits `DCBA` as a number.
    public let level: Int
    /// Whether a task gets all hardware threads.
    public let isBoosted: Bool

    /// The priority of a controller.
    public init(_ controller: Controller) {
        let digits = controller.priority.flatMap { Int($0) } ?? 0
        self.init(level: digits % 10_000, isBoosted: digits >= 10_000)
    }

    private init(level: Int, isBoosted: Bool) {
        self.level = level
        self.isBoosted = isBoosted
    }

    /// Whether a controller of this priority is asked while a task of another priority runs.
    public func isAsked(whileRunning running: ControllerPriority) -> Bool { level / 10 >= running.level / 10 }

    /// What a task of this priority may do to one of another that runs.
    public func interruption(of running: ControllerPriority) -> Interruption {
        if level / 1000 != running.level / 1000 { return level / 1000 > running.level / 1000 ? .all : .none }
        return level / 100 > running.level / 100 ? .one : .none
    }

    public var description: String {
        let digits = String(level)
        return (isBoosted ? "1" : "") + String(repeating: "0", count: 4 - digits.utf8.count) + digits
    }

    public static func < (left: Self, right: Self) -> Bool { left.level < right.level }

    /// The order in which controllers are asked: by priority, those of one priority in random order.
    ///
    /// - Parameters:
    ///   - running: the priorities of the tasks that run on this host.
    ///   - generator: decides among equals.
    public static func order(
        _ controllers: [Controller],
        whileRunning running: [ControllerPriority] = [],
        using generator: inout some RandomNumberGenerator
    ) -> [Controller] {
        controllers
            .map { (controller: $0, priority: ControllerPriority($0)) }
            .filter { asked in running.allSatisfy { asked.priority.isAsked(whileRunning: $0) } }
            .shuffled(using: &generator)
            .sorted { $0.priority > $1.priority }
            .map(\.controller)
    }
}
