/// What bounds a fetch. Every limit ends it with an error that names the limit.
public struct FetchLimits: Sendable, Hashable {
    /// Most bytes a body may have.
    public var maximumBytes: Int64
    /// Time to establish a connection.
    public var connectTimeout: Duration
    /// Time for the whole fetch; `nil` for none.
    public var totalTimeout: Duration?
    /// A transfer slower than this many bytes per second …
    public var lowSpeedBytesPerSecond: Int
    /// … for this long has stalled.
    public var lowSpeedTime: Duration
    /// Most redirects followed.
    public var maximumRedirects: Int

    /// Creates limits; the defaults suit archives of a few hundred megabytes.
    public init(
        maximumBytes: Int64 = 4 << 30,
        connectTimeout: Duration = .seconds(30),
        totalTimeout: Duration? = .seconds(3600),
        lowSpeedBytesPerSecond: Int = 256,
        lowSpeedTime: Duration = .seconds(30),
        maximumRedirects: Int = 10
    ) {
        self.maximumBytes = maximumBytes
        self.connectTimeout = connectTimeout
        self.totalTimeout = totalTimeout
        self.lowSpeedBytesPerSecond = lowSpeedBytesPerSecond
        self.lowSpeedTime = lowSpeedTime
        self.maximumRedirects = maximumRedirects
    }
}

/// What a server said of a resource's version, to be shown to it again with the next request.
public struct ResourceValidators: Sendable, Hashable, Codable {
    /// The `ETag` header, with its quotes.
    public var entityTag: String?
    /// The `Last-Modified` header as it came.
    public var lastModified: String?

    /// Creates validators.
    public init(entityTag: String? = nil, lastModified: String? = nil) {
        self.entityTag = entityTag
        self.lastModified = lastModified
    }

    /// Whether there is nothing to show to the server.
    public var isEmpty: Bool { entityTag == nil && lastModified == nil }
}

/// What a fetch that broke off has left in its destination.
public struct PartialFetch: Sendable, Hashable, Codable {
    /// The bytes that are there, counted from the beginning of the resource.
    public let byteCount: Int64
    /// The version of the resource that they are of.
    public let validators: ResourceValidators

    /// Creates a description of what is there.
    public init(byteCount: Int64, validators: ResourceValidators) {
        self.byteCount = byteCount
        self.validators = validators
    }
}

/// What is sent to a server with a request (RFC 9110, 9.3.3).
public struct FetchBody: Sendable, Hashable {
    /// Where the bytes are.
    public enum Content: Sendable, Hashable {
        /// These bytes.
        case bytes([UInt8])
        /// The content of a file, with its size at the time the request begins.
        case file(FilePath)
    }

    /// The `Content-Type` header.
    public var contentType: String
    /// The bytes.
    public var content: Content

    /// Creates a body.
    public init(contentType: String, content: Content) {
        self.contentType = contentType
        self.content = content
    }
}

/// One resource to get into one file.
public struct FetchRequest: Sendable, Hashable {
    /// Where it is.
    public var url: ResourceURL
    /// The file to write; it is created or truncated, and is removed again if the fetch fails, but see ``keepsPartial``.
    public var destination: FilePath
    /// Which digest to compute while the bytes arrive.
    public var digestAlgorithm: DigestAlgorithm?
    /// Limits of this fetch.
    public var limits: FetchLimits
    /// Fetch only if the resource is no longer the one these describe (http and https).
    public var unlessMatching: ResourceValidators
    /// Sent by POST if given, by http and https alone; what the server answers goes into the destination. Redirects are
    /// followed with the same method and body. Such a request is neither conditional nor continued.
    public var posting: FetchBody?
    /// Whether a fetch that breaks off leaves what has come, described by ``FetchError/partial``.
    public var keepsPartial: Bool
    /// What is in the destination already. The fetch goes on behind it where the server can do that and has that same
    /// version still (RFC 9110, 13.1.5 and 14.2); else it begins anew.
    public var continuing: PartialFetch?

    /// Creates a request.
    public init(
        url: ResourceURL,
        destination: FilePath,
        digestAlgorithm: DigestAlgorithm? = nil,
        limits: FetchLimits = FetchLimits(),
        unlessMatching: ResourceValidators = ResourceValidators(),
        posting: FetchBody? = nil,
        keepsPartial: Bool = false,
        continuing: PartialFetch? = nil
    ) {
        self.url = url
        self.destination = destination
        self.digestAlgorithm = digestAlgorithm
        self.limits = limits
        self.unlessMatching = unlessMatching
        self.posting = posting
        self.keepsPartial = keepsPartial
        self.continuing = continuing
    }
}

/// How a fetch ended well.
public enum FetchOutcome: Sendable, Hashable {
    /// The file was written.
    case fetched(FetchedFile)
    /// The server said that the resource is still the one the request described; no file was written.
    case notModified
}

/// What was fetched.
public struct FetchedFile: Sendable, Hashable {
    /// Bytes of the whole file.
    public let byteCount: Int64
    /// The digest, if the request named an algorithm.
    public let digest: Digest?
    /// What to show the server next time.
    public let validators: ResourceValidators

    /// Creates a description of a fetched file.
    public init(byteCount: Int64, digest: Digest?, validators: ResourceValidators = ResourceValidators()) {
        self.byteCount = byteCount
        self.digest = digest
        self.validators = validators
    }
}

/// How far a fetch has come.
public struct FetchProgress: Sendable, Hashable {
    /// Bytes written so far.
    public let received: Int64
    /// Bytes expected in all, where the server has said so.
    public let expected: Int64?

    /// Creates a progress report.
    public init(received: Int64, expected: Int64?) {
        self.received = received
        self.expected = expected
    }
}
