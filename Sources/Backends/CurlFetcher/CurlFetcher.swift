import BuildOSKit

/// Fetches with libcurl: any number of transfers on one thread, each digested while it arrives.
public final class CurlFetcher: Fetcher {
    public let backendName = "curl"
    public let capabilities = FetcherCapabilities.ofCurl
    private let loop: TransferLoop

    /// Starts the thread that transfers run on; it ends with the fetcher.
    ///
    /// - Throws: `Errno` if the system has no thread or descriptor left.
    public init(_ options: FetcherOptions = FetcherOptions()) throws {
        loop = try TransferLoop(ServerAccess(options))
    }

    deinit { loop.stop() }

    public func fetch(
        _ request: FetchRequest,
        progress: (@Sendable (FetchProgress) -> Void)?
    ) async throws(FetchError) -> FetchOutcome {
        if let refusal = refusal(of: request) {
            DestinationFile.remove(request.destination)
            throw FetchError(.unsupportedScheme, url: request.url, detail: refusal)
        }
        let existing = await ExistingContent.read(for: request)
        let cancellation = Cancellation()
        let result: Result<FetchOutcome, FetchError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let order = TransferOrder(
                    request: request,
                    progress: progress,
                    cancellation: cancellation,
                    existing: existing
                ) { continuation.resume(returning: $0) }
                loop.submit(order)
            }
        } onCancel: {
            cancellation.request()
            loop.wake()
        }
        return try result.get()
    }

    private func refusal(of request: FetchRequest) -> String? {
        let scheme = request.url.scheme
        if !capabilities.schemes.contains(scheme.rawValue) { return "libcurl was built without \(scheme.rawValue)" }
        guard request.posting != nil, scheme != .http, scheme != .https else { return nil }
        return "nothing can be posted by \(scheme.rawValue)"
    }
}

/// Offers ``CurlFetcher``.
public struct CurlFetcherProvider: FetcherProvider {
    public let identity: BackendIdentity
    public let capabilities = FetcherCapabilities.ofCurl

    /// Creates a provider.
    public init() {
        identity = BackendIdentity(
            name: "curl",
            interface: .fetcher,
            summary: "files by http, https, tftp (\(CurlLibrary.version))"
        )
    }

    public func preflight() async -> [PreflightFinding] {
        var findings: [PreflightFinding] = []
        for scheme in ResourceURL.Scheme.allCases where !capabilities.schemes.contains(scheme.rawValue) {
            findings.append(
                PreflightFinding(
                    problem: "this libcurl does not speak \(scheme.rawValue)",
                    remedy: "install Debian's libcurl4"
                )
            )
        }
        findings += ServerAccess(FetcherOptions()).preflight
        return findings
    }

    public func makeFetcher(_ options: FetcherOptions) throws -> any Fetcher {
        try CurlFetcher(options)
    }
}

extension FetcherCapabilities {
    fileprivate static let ofCurl = FetcherCapabilities(
        schemes: CurlLibrary.schemes,
        digests: DigestAlgorithm.allCases,
        conditional: true,
        resumable: true,
        posts: true
    )
}
