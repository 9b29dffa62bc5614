import BuildOSKit
import Glibc

/// Fetches with libcurl: any number of transfers on one thread, each digested while it arrives.
public final class CurlFetcher: Fetcher {
    public let backendName = "curl"
    public let capabilities = FetcherCapabilities.ofCurl
    private let loop: TransferLoop

    /// Starts the thread that transfers run on; it ends with the fetcher.
    ///
    /// - Throws: `Errno` if the system has no thread or descriptor left.
    public init() throws {
        loop = try TransferLoop()
    }

    deinit { loop.stop() }

    public func fetch(
        _ request: FetchRequest,
        progress: (@Sendable (FetchProgress) -> Void)?
    ) async throws(FetchError) -> FetchOutcome {
        guard capabilities.schemes.contains(request.url.scheme.rawValue) else {
            throw FetchError(
                .unsupportedScheme,
                url: request.url,
                detail: "libcurl was built without \(request.url.scheme.rawValue)"
            )
        }
        let cancellation = Cancellation()
        let result: Result<FetchOutcome, FetchError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                loop.submit(
                    TransferOrder(request: request, progress: progress, cancellation: cancellation) {
                        continuation.resume(returning: $0)
                    }
                )
            }
        } onCancel: {
            cancellation.request()
            loop.wake()
        }
        return try result.get()
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
        if let bundle = CurlLibrary.certificateBundle, access(bundle, R_OK) != 0 {
            findings.append(
                PreflightFinding(
                    problem: "\(bundle) is not there, so no https server can be trusted",
                    remedy: "install the Debian package ca-certificates"
                )
            )
        }
        return findings
    }

    public func makeFetcher(_ options: FetcherOptions) throws -> any Fetcher { try CurlFetcher() }
}

extension FetcherCapabilities {
    fileprivate static let ofCurl = FetcherCapabilities(
        schemes: CurlLibrary.schemes,
        digests: DigestAlgorithm.allCases,
        conditional: true
    )
}
