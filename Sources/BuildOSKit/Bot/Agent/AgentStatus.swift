import FoundationEssentials

/// What an instance of the agent is doing, in its `<toolchain>-<instance>.json`.
public struct AgentStatus: Sendable, Hashable, Codable {
    /// What an instance can be doing.
    public enum Activity: String, Sendable, Hashable, Codable {
        /// It cleans up what an earlier run left.
        case starting
        /// Nothing; the reason says why.
        case idle
        /// It asks controllers for a task.
        case asking
        /// It puts the toolchain into a machine.
        case bootstrapping
        /// It builds.
        case building
        /// A guest that failed is kept for somebody to log in.
        case holding
        /// It has ended.
        case ended

        /// Whether something is under way that an end of the agent would cut short.
        public var isWork: Bool {
            switch self {
            case .bootstrapping, .building, .holding: true
            case .starting, .idle, .asking, .ended: false
            }
        }
    }

    /// A task.
    public struct Task: Sendable, Hashable, Codable {
        /// The package.
        public var name: String
        /// Its version.
        public var version: String
        /// Who gave it, as in the configuration.
        public var controller: String
        /// Which of the tasks of this process it is, from 1.
        public var number: Int
    }

    /// A task that is done.
    public struct Done: Sendable, Hashable, Codable {
        /// The package.
        public var name: String
        /// Its version.
        public var version: String
        /// How it came out: a ``ResultStatus``.
        public var status: String
        /// When.
        public var at: Timestamp
    }

    /// The schema that this program writes.
    public static let currentSchema = 1

    /// Which schema it is.
    public var schema = currentSchema
    /// The toolchain.
    public var toolchain: String
    /// The instance.
    public var instance: Int
    /// The agent's process.
    public var processId: Int32
    /// What it is doing.
    public var activity = Activity.starting
    /// Since when.
    public var since: Timestamp
    /// Why it does nothing, or what it does, in a sentence.
    public var reason: String?
    /// The machine it has.
    public var machine: String?
    /// The task it builds.
    public var task: Task?
    /// How many results of each status there were.
    public var results: [String: Int] = [:]
    /// The last task that was done.
    public var last: Done?
    /// What is in the way of using machines, a sentence each.
    public var problems: [String] = []

    /// Creates the status of an instance that begins.
    public init(toolchain: String, instance: Int, processId: Int32, since: Timestamp) {
        self.toolchain = toolchain
        self.instance = instance
        self.processId = processId
        self.since = since
    }

    /// Whether it works on something, and is alive; to be asked on its host. What a process that is gone has written last
    /// does not count.
    public var isAtWork: Bool { activity.isWork && FileTree.exists(FilePath("/proc/\(processId)")) }

    /// What it does, in words: `building hello/1.0 in machine linux: the machine works`.
    public var summary: String {
        var text = activity.rawValue
        if let task { text += " \(task.name)/\(task.version)" }
        if let machine { text += " in machine \(machine)" }
        if let reason { text += ": \(reason)" }
        return text
    }

    /// The name of an instance's file.
    public static func fileName(_ toolchain: String, _ instance: Int) -> String { "\(toolchain)-\(instance).json" }

    /// Writes the file.
    public func write(to directory: FilePath) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try FileTree.makeDirectory(directory)
        let bytes = Array(try encoder.encode(self)) + [UInt8(ascii: "\n")]
        try FileTree.write(bytes, to: directory.appending(Self.fileName(toolchain, instance)))
    }

    /// The statuses in a directory; files that are none are passed over.
    public static func all(in directory: FilePath) -> [AgentStatus] {
        let names = (try? FileTree.names(in: directory)) ?? []
        return names.filter { $0.hasSuffix(".json") }.compactMap { name in
            guard let bytes = try? FileTree.read(directory.appending(name)),
                let status = try? JSONDecoder().decode(AgentStatus.self, from: Data(bytes)),
                status.schema == currentSchema
            else { return nil }
            return status
        }
        .sorted { ($0.toolchain, $0.instance) < ($1.toolchain, $1.instance) }
    }
}

extension AgentStatus.Task {
    /// The priority of the controller that gave it.
    var priority: ControllerPriority? { (try? Controller(controller)).map { ControllerPriority($0) } }
}
