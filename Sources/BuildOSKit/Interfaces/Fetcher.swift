/// The hash functions of checksums files (TOOL-1).
public enum DigestAlgorithm: String, Sendable, Hashable, Codable, CaseIterable {
    case sha1, sha224, sha256, sha384, sha512

    /// Length of a digest in bytes.
    public var byteCount: Int {
        switch self {
        case .sha1: 20
        case .sha224: 28
        case .sha256: 32
        case .sha384: 48
        case .sha512: 64
        }
    }
}

/// A digest with the algorithm that made it.
public struct Digest: Sendable, Hashable, Codable {
    /// The hash function.
    public let algorithm: DigestAlgorithm
    /// Lower-case hexadecimal, `2 * algorithm.byteCount` digits.
    public let hexadecimal: String

    /// Accepts hexadecimal digits of either case; `nil` if the length or a digit is wrong.
    public init?(_ algorithm: DigestAlgorithm, hexadecimal: some StringProtocol) {
        guard hexadecimal.utf8.count == 2 * algorithm.byteCount,
            hexadecimal.utf8.allSatisfy({ Self.isHexadecimal($0) })
        else { return nil }
        self.algorithm = algorithm
        self.hexadecimal = hexadecimal.lowercased()
    }

    /// Takes the raw bytes of a digest; `nil` if there are too few or too many.
    public init?(_ algorithm: DigestAlgorithm, bytes: some Collection<UInt8>) {
        let digits = Array("0123456789abcdef".utf8)
        self.init(
            algorithm,
            hexadecimal: String(
                decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] },
                as: UTF8.self
            )
        )
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"):
            true
        default: false
        }
    }
}

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

/// One resource to get into one file.
public struct FetchRequest: Sendable, Hashable {
    /// Where it is.
    public var url: ResourceURL
    /// The file to write; it is created or truncated, and is removed again if the fetch fails.
    public var destination: FilePath
    /// Which digest to compute while the bytes arrive.
    public var digestAlgorithm: DigestAlgorithm?
    /// Limits of this fetch.
    public var limits: FetchLimits
    /// Fetch only if the resource is no longer the one these describe (http and https).
    public var unlessMatching: ResourceValidators

    /// Creates a request.
    public init(
        url: ResourceURL,
        destination: FilePath,
        digestAlgorithm: DigestAlgorithm? = nil,
        limits: FetchLimits = FetchLimits(),
        unlessMatching: ResourceValidators = ResourceValidators()
    ) {
        self.url = url
        self.destination = destination
        self.digestAlgorithm = digestAlgorithm
        self.limits = limits
        self.unlessMatching = unlessMatching
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
    /// Bytes written.
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

/// Why a fetch failed.
public struct FetchError: DiagnosableError, Hashable {
    /// The kinds of failure that policy tells apart.
    public enum Kind: String, Sendable, Hashable, Codable {
        /// No connection, name not resolved, connection lost: may pass.
        case unreachable
        /// The server answered with a status other than success.
        case refused
        /// The resource is not there (HTTP 404 and 410, TFTP error 1, no such file).
        case notFound
        /// More redirects than allowed, or a redirect to a scheme that isn't.
        case redirects
        /// A time limit passed or the transfer stalled.
        case timedOut
        /// More bytes than the limit.
        case tooLarge
        /// The destination could not be written, for want of room or otherwise.
        case cannotWrite
        /// TLS failed: certificate, name, protocol.
        case untrusted
        /// The scheme is not one this fetcher speaks.
        case unsupportedScheme
        /// The task was cancelled.
        case cancelled
        /// Something else, told by the cause.
        case other
    }

    /// What kind of failure it is.
    public let kind: Kind
    /// The URL that was fetched.
    public let url: ResourceURL
    /// The library's or the server's own words.
    public let detail: String

    /// Creates an error.
    public init(_ kind: Kind, url: ResourceURL, detail: String) {
        self.kind = kind
        self.url = url
        self.detail = detail
    }

    public var subject: String { url.description }
    public var cause: String { detail }
    public var remedy: String? {
        switch kind {
        case .unreachable: "check that the server runs and that this host can reach it"
        case .notFound: "check the path in the URL"
        case .redirects: "use the final address"
        case .timedOut: "it is tried again later; check the server's load and the link"
        case .cannotWrite: "make room on the file system of the destination"
        case .untrusted: "check the server's certificate and this host's clock"
        case .unsupportedScheme: "use http, https, tftp or file"
        case .refused, .tooLarge, .cancelled, .other: nil
        }
    }

    /// Whether the same request may succeed later without anyone changing anything.
    public var mayPass: Bool {
        switch kind {
        case .unreachable, .timedOut, .refused, .notFound, .cannotWrite, .other: true
        case .redirects, .tooLarge, .untrusted, .unsupportedScheme, .cancelled: false
        }
    }
}

/// What a fetcher can do.
public struct FetcherCapabilities: CapabilitySet {
    /// URL schemes it speaks, lower case.
    public let schemes: [String]
    /// Digests it computes in the same pass.
    public let digests: [DigestAlgorithm]
    /// Whether it makes conditional requests.
    public let conditional: Bool

    /// Creates capabilities.
    public init(schemes: [String], digests: [DigestAlgorithm], conditional: Bool) {
        self.schemes = schemes
        self.digests = digests
        self.conditional = conditional
    }

    public var listing: [Capability] {
        [
            Capability("schemes", schemes),
            Capability("digests", digests.map(\.rawValue)),
            Capability("conditional", conditional),
        ]
    }
}

/// Gets a URL into a file while digesting it, in one pass; many at once.
public protocol Fetcher: Sendable {
    /// What it can do.
    var capabilities: FetcherCapabilities { get }

    /// Fetches one resource. Several calls run side by side. Cancelling the task ends the transfer.
    ///
    /// - Parameter progress: called now and then from a thread of the fetcher's own; must not block.
    /// - Throws: ``FetchError``; the destination is then gone.
    func fetch(
        _ request: FetchRequest,
        progress: (@Sendable (FetchProgress) -> Void)?
    ) async throws(FetchError) -> FetchOutcome
}

extension Fetcher {
    /// Fetches without progress reports.
    public func fetch(_ request: FetchRequest) async throws(FetchError) -> FetchOutcome {
        try await fetch(request, progress: nil)
    }
}

/// Makes fetchers.
public protocol FetcherProvider: BackendProvider {
    /// What its fetchers can do.
    var capabilities: FetcherCapabilities { get }
    /// Makes a fetcher.
    func makeFetcher() throws -> any Fetcher
}

extension FetcherProvider {
    public var capabilityListing: [Capability] { capabilities.listing }
}
