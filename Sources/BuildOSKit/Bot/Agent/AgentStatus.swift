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
    }

    /// A task.
    public struct Task: Sendable, Hashable, Codable {
        /// The package.
        public var name: String
        /// Its version.
        public var version: String
        /// Who gave it, as in the configuration.
        public var controller: String
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

/// The request that agents end what they do and take nothing new: a file, so that it holds for agents that start later too.
public struct DrainRequest: Sendable, Hashable, Codable {
    /// Where it is on a host.
    public static let standard: FilePath = "/run/buildos/drain.json"

    /// Why, in the words of whoever asked.
    public var note: String
    /// Since when.
    public var since: Timestamp

    /// Creates a request.
    public init(note: String, since: Timestamp = .now) {
        self.note = note
        self.since = since
    }

    /// The request that holds; `nil` if agents may take tasks. A file that can't be read holds: whoever wrote it meant it.
    public static func current(_ file: FilePath = standard) -> DrainRequest? {
        guard FileTree.exists(file) else { return nil }
        guard let bytes = try? FileTree.read(file),
            let request = try? JSONDecoder().decode(DrainRequest.self, from: Data(bytes))
        else { return DrainRequest(note: "\(file) can't be read", since: .now) }
        return request
    }

    /// Makes the request hold.
    public func write(to file: FilePath = standard) throws {
        try FileTree.write(Array(try JSONEncoder().encode(self)), to: file)
    }

    /// Takes the request back; none is no error.
    public static func remove(_ file: FilePath = standard) throws(FileError) { try FileTree.remove(file) }
}
