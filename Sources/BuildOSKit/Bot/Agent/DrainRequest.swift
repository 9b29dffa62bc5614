import FoundationEssentials

/// The request that agents end what they do and take nothing new: a file, so that it holds for agents that start later too.
public struct DrainRequest: Sendable, Hashable, Codable {
    /// Where it is on a host.
    public static let standard: FilePath = "/run/buildos/drain.json"

    /// Who can ask.
    public enum Asker: String, Sendable, Hashable, Codable {
        /// The monitor, before a reboot; it takes its request back when it starts.
        case monitor
        /// Somebody, who takes it back by `buildosctl resume`.
        case `operator`
    }

    /// Who asked.
    public var by: Asker
    /// Why, in the words of whoever asked.
    public var note: String
    /// Since when.
    public var since: Timestamp

    /// Creates a request.
    public init(note: String, by asker: Asker = .operator, since: Timestamp = .now) {
        by = asker
        self.note = note
        self.since = since
    }

    /// The request that holds; `nil` if agents may take tasks. A file that can't be read holds: whoever wrote it meant it.
    public static func current(_ file: FilePath = standard) -> DrainRequest? {
        guard FileTree.exists(file) else { return nil }
        guard let bytes = try? FileTree.read(file),
            let request = try? JSONDecoder().decode(DrainRequest.self, from: Data(bytes))
        else { return DrainRequest(note: "\(file) can't be read") }
        return request
    }

    /// Makes the request hold.
    public func write(to file: FilePath = standard) throws {
        try FileTree.write(Array(try JSONEncoder().encode(self)), to: file)
    }

    /// Takes the request back; none is no error.
    public static func remove(_ file: FilePath = standard) throws(FileError) { try FileTree.remove(file) }
}
