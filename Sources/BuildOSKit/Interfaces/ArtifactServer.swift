/// A socket address to listen on.
public struct ServerEndpoint: Sendable, Hashable, Codable, CustomStringConvertible {
    /// A numeric IPv4 or IPv6 address.
    public let host: String
    /// 0 lets the system choose.
    public let port: Int

    /// Creates an end point.
    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// Where and how much clients may write.
public struct UploadRules: Sendable, Hashable {
    /// The directory that files are put into; they appear whole, by rename, once the last block has come.
    public var directory: FilePath
    /// The names that may be written; `nil` for any name of one path component.
    public var names: Set<String>?
    /// Most bytes of one file.
    public var maximumBytes: Int64
    /// Whether a file that is there already may be replaced.
    public var mayReplace: Bool

    /// Creates rules.
    public init(directory: FilePath, names: Set<String>? = nil, maximumBytes: Int64, mayReplace: Bool = true) {
        self.directory = directory
        self.names = names
        self.maximumBytes = maximumBytes
        self.mayReplace = mayReplace
    }
}

/// What a server hands out, what it takes, and its bounds.
public struct ArtifactServerConfiguration: Sendable, Hashable {
    /// Where it listens.
    public var endpoint: ServerEndpoint
    /// The directory whose files can be read; no path and no link leads out of it.
    public var readRoot: FilePath
    /// The names that may be read; `nil` for whatever is under ``readRoot``.
    public var readableNames: Set<String>?
    /// Names whose requests are reported as ``ArtifactTransfer/Stage/withheld`` and not answered, as if the packet had been
    /// lost: a client repeats itself, perhaps to a later server at the same end point.
    public var withheldNames: Set<String>
    /// What clients may write; `nil` for nothing.
    public var uploads: UploadRules?
    /// Most transfers at once; more are refused.
    public var maximumSessions: Int
    /// Most transfers at once of one client address.
    public var maximumSessionsPerClient: Int
    /// Most bytes per second to one client; `nil` for no limit.
    public var bytesPerSecond: Int?
    /// Time without an answer until a packet is sent again.
    public var retransmissionTimeout: Duration
    /// How often a packet is sent again before a transfer is given up.
    public var maximumRetransmissions: Int

    /// Creates a configuration.
    public init(
        endpoint: ServerEndpoint,
        readRoot: FilePath,
        readableNames: Set<String>? = nil,
        withheldNames: Set<String> = [],
        uploads: UploadRules? = nil,
        maximumSessions: Int = 256,
        maximumSessionsPerClient: Int = 64,
        bytesPerSecond: Int? = nil,
        retransmissionTimeout: Duration = .seconds(1),
        maximumRetransmissions: Int = 5
    ) {
        self.endpoint = endpoint
        self.readRoot = readRoot
        self.readableNames = readableNames
        self.withheldNames = withheldNames
        self.uploads = uploads
        self.maximumSessions = maximumSessions
        self.maximumSessionsPerClient = maximumSessionsPerClient
        self.bytesPerSecond = bytesPerSecond
        self.retransmissionTimeout = retransmissionTimeout
        self.maximumRetransmissions = maximumRetransmissions
    }
}

/// Something that happened at a server.
public struct ArtifactTransfer: Sendable, Hashable {
    /// Which way the bytes go.
    public enum Direction: String, Sendable, Hashable, Codable { case read, write }

    /// How far it is.
    public enum Stage: Sendable, Hashable {
        /// The request came and was accepted.
        case began
        /// The request came and was not answered; see ``ArtifactServerConfiguration/withheldNames``.
        case withheld
        /// The last byte was acknowledged; a written file is in place.
        case completed(byteCount: Int64)
        /// It was refused or broken off, with the reason.
        case failed(String)
    }

    /// Which way the bytes go.
    public let direction: Direction
    /// The name as the client gave it, made printable.
    public let name: String
    /// The client's address.
    public let client: String
    /// How far it is.
    public let stage: Stage

    /// Creates a description of a transfer.
    public init(direction: Direction, name: String, client: String, stage: Stage) {
        self.direction = direction
        self.name = name
        self.client = client
        self.stage = stage
    }
}

/// A server that runs.
public protocol ArtifactServer: Sendable {
    /// Where it can be reached, with the port that the system chose.
    var endpoint: ServerEndpoint { get }
    /// Transfers as they begin and end. One reader; events beyond the newest 1,024 that it hasn't read are dropped.
    var transfers: AsyncStream<ArtifactTransfer> { get }
    /// Breaks off what runs, closes the socket and ends ``transfers``. Safe to repeat.
    func stop() async
}
