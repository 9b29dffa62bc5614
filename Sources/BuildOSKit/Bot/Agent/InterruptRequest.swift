import FoundationEssentials

/// The request of one instance to another to end the task that it builds, as one came that may end all of lower priority
/// (build2-facts, 2.10): a file beside the other's status.
struct InterruptRequest: Sendable, Hashable, Codable {
    /// The process of the other's agent.
    var processId: Int32
    /// Which of its tasks: a later one is not meant.
    var task: Int

    private static func file(_ number: GuestNumber, _ directory: FilePath) -> FilePath {
        directory.appending("\(number.name).interrupt")
    }

    /// Asks.
    ///
    /// - Throws: ``FileError``
    func write(to instance: AgentStatus, in directory: FilePath) throws {
        let bytes = Array(try JSONEncoder().encode(self))
        try FileTree.write(
            bytes,
            to: directory.appending("\(instance.toolchain)-\(instance.instance).interrupt"),
            durably: false
        )
    }

    /// What an instance is asked, if anything; what can't be read is no request.
    static func current(for number: GuestNumber, in directory: FilePath) -> InterruptRequest? {
        guard let bytes = try? FileTree.read(file(number, directory), limit: 4096) else { return nil }
        return try? JSONDecoder().decode(InterruptRequest.self, from: Data(bytes))
    }

    /// Takes back what an instance was asked.
    static func remove(for number: GuestNumber, in directory: FilePath) {
        try? FileTree.remove(file(number, directory))
    }
}
