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
    /// The status of the server's answer, where it gave one (RFC 9110, 15).
    public let httpStatus: Int?
    /// What was left in the destination, if the request wanted that and it can be gone on with.
    public let partial: PartialFetch?

    /// Creates an error.
    public init(_ kind: Kind, url: ResourceURL, detail: String, httpStatus: Int? = nil, partial: PartialFetch? = nil) {
        self.kind = kind
        self.url = url
        self.detail = detail
        self.httpStatus = httpStatus
        self.partial = partial
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
