/// What a fetcher can do.
public struct FetcherCapabilities: CapabilitySet {
    /// URL schemes it speaks, lower case.
    public let schemes: [String]
    /// Digests it computes in the same pass.
    public let digests: [DigestAlgorithm]
    /// Whether it makes conditional requests.
    public let conditional: Bool
    /// Whether it can go on with a transfer that broke off.
    public let resumable: Bool
    /// Whether it sends bodies by POST.
    public let posts: Bool

    /// Creates capabilities.
    public init(
        schemes: [String],
        digests: [DigestAlgorithm],
        conditional: Bool,
        resumable: Bool = false,
        posts: Bool = false
    ) {
        self.schemes = schemes
        self.digests = digests
        self.conditional = conditional
        self.resumable = resumable
        self.posts = posts
    }

    public var listing: [Capability] {
        [
            Capability("schemes", schemes),
            Capability("digests", digests.map(\.rawValue)),
            Capability("conditional", conditional), Capability("resumable", resumable),
            Capability("posts", posts),
        ]
    }
}

/// Gets a URL into a file while digesting it, in one pass; many at once.
public protocol Fetcher: BackendInstance {
    /// What it can do.
    var capabilities: FetcherCapabilities { get }

    /// Fetches one resource. Several calls run side by side. Cancelling the task ends the transfer.
    ///
    /// - Parameter progress: called now and then from a thread of the fetcher's own; must not block.
    /// - Throws: ``FetchError``; the destination is then gone, unless the error's ``FetchError/partial`` describes it.
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

/// How a fetcher reaches servers; what is `nil` is as curl(1) has it from the environment.
public struct FetcherOptions: Sendable, Hashable {
    /// Most transfers at once; further ones wait for their turn.
    public var maximumTransfers: Int
    /// The proxy for every http and https request, such as `http://proxy.example.org:3128`; empty for none. Otherwise `http_proxy`,
    /// `https_proxy`, `all_proxy` and `no_proxy` decide.
    public var proxy: String?
    /// A file of certificates to trust, and no others. Otherwise `CURL_CA_BUNDLE`, `SSL_CERT_FILE` and `SSL_CERT_DIR`,
    /// or the system's.
    public var certificateBundle: FilePath?

    /// Creates options.
    public init(maximumTransfers: Int = 32, proxy: String? = nil, certificateBundle: FilePath? = nil) {
        self.maximumTransfers = maximumTransfers
        self.proxy = proxy
        self.certificateBundle = certificateBundle
    }
}

/// Makes fetchers.
public protocol FetcherProvider: BackendProvider {
    /// What its fetchers can do.
    var capabilities: FetcherCapabilities { get }
    /// Makes a fetcher.
    func makeFetcher(_ options: FetcherOptions) throws -> any Fetcher
}

extension FetcherProvider {
    /// Makes a fetcher with the default options.
    public func makeFetcher() throws -> any Fetcher { try makeFetcher(FetcherOptions()) }
    public var capabilityListing: [Capability] { capabilities.listing }
}
