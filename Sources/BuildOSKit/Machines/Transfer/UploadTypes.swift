/// A host to upload to.
public struct UploadTarget: Sendable {
    /// What it is called in reports.
    public let label: String
    /// Runs commands there.
    public let transport: any Transport
    /// What receives there.
    public let receiver: Command
    /// The volume that the machine is in.
    public let volume: VolumeName

    /// Creates a target.
    public init(label: String, transport: any Transport, receiver: Command, volume: VolumeName = .default) {
        self.label = label
        self.transport = transport
        self.receiver = receiver
        self.volume = volume
    }
}

/// How an upload is done.
public struct UploadOptions: Sendable, Hashable {
    /// When the stream is compressed.
    public enum Compression: String, Sendable, Hashable, CaseIterable {
        /// If the way to the host, measured, is slower than compressing.
        case auto
        case never, always
    }

    /// Whether the machine must be new to the host, or known to it.
    public var intent: UploadIntent = .any
    /// When the stream is compressed.
    public var compression: Compression = .auto
    /// Bytes a second to each host; as fast as it goes if `nil`.
    public var rateLimit: Int64?
    /// How many revisions remain on the host; all if `nil`.
    public var keep: Int?
    /// Whether the image is made the one in effect.
    public var activates = true
    /// Whether the host keeps what arrives until all has, so that an interrupted upload can go on.
    public var spools = true
    /// Bytes of a chunk: what is sent anew, at most, of what had arrived.
    public var chunkSize = 1 << 20
    /// How long a host may take nothing before it is given up.
    public var stallLimit: Duration = .seconds(120)
    /// How long the whole may take.
    public var timeLimit: Duration?
    /// Whether it is only found out what would be done.
    public var isDryRun = false
    /// Whether the size of an incremental stream is found out beforehand, so that progress can tell the time left. Costs
    /// reading the difference twice.
    public var measuresFirst = false

    /// Bytes a second below which compression pays: what zstd -1 makes of an image's stream on one core, and a third less
    /// on the wire (docs/machines.md).
    static let compressionThreshold = 120.0 * 1_000_000

    /// Creates options.
    public init() {}
}

/// What happens during an upload to one host.
public enum UploadEvent: Sendable, Hashable {
    /// What will be done, with how many bytes the stream has, if that is known.
    case planned(UploadPlan, StreamCompression)
    /// The host began a step.
    case step(MachineStep)
    /// How far the stream is.
    case progress(UploadProgress)
}

/// How far a stream to one host is.
public struct UploadProgress: Sendable, Hashable, Codable {
    /// Bytes of the stream that were handed to the connection.
    public var sent: Int64 = 0
    /// Bytes of the stream that the host had in its spool.
    public var resumed: Int64 = 0
    /// Bytes of the stream in all, as far as that is known: exact, or what the image takes on the disk.
    public var total: Int64?
}

/// What came of an upload to one host.
public struct UploadReport: Sendable, Hashable, Codable {
    /// The host.
    public let host: String
    /// What was, or would be, done.
    public let plan: UploadPlan?
    /// How the stream was compressed.
    public let compression: StreamCompression
    /// Bytes of the stream, if they were measured in a dry run.
    public let bytes: Int64?
    /// What the host said at the end; `nil` in a dry run.
    public let receipt: UploadReceipt?
    /// Why it failed.
    public let error: MachineError?
}
