/// Why a controller could not be asked or told.
public struct ControllerError: DiagnosableError, Hashable {
    /// The kinds of failure that policy tells apart.
    public enum Kind: String, Sendable, Hashable, Codable {
        /// No answer: may pass.
        case unreachable
        /// Its certificate isn't trusted.
        case untrusted
        /// There is no controller at that address: HTTP status 404 or 410, or a redirect that leads nowhere.
        case notThere
        /// It failed, HTTP status 5xx: may pass.
        case failing
        /// It has building switched off, HTTP status 501.
        case disabled
        /// It doesn't know this host's key, HTTP status 401.
        case unauthorized
        /// It takes this for nonsense: another HTTP status 4xx.
        case rejected
        /// What is to be sent is more than it takes.
        case tooLarge
        /// Its answer is not of the protocol.
        case unintelligible
        /// It wants a signature that this host can't give.
        case cannotSign
        /// A file on this host could not be written or read.
        case local
        /// The task was cancelled.
        case cancelled
    }

    /// What kind of failure it is.
    public let kind: Kind
    /// The address that was asked or told.
    public let url: ResourceURL
    public let cause: String

    /// Creates an error.
    public init(_ kind: Kind, _ url: ResourceURL, _ cause: String) {
        self.kind = kind
        self.url = url
        self.cause = cause
    }

    init(_ error: FetchError) {
        let kind: Kind
        switch (error.httpStatus, error.kind) {
        case (_, .cancelled): kind = .cancelled
        case (_, .cannotWrite): kind = .local
        case (_, .tooLarge): kind = .unintelligible
        case (401?, .refused): kind = .unauthorized
        case (413?, .refused): kind = .tooLarge
        case (501?, .refused): kind = .disabled
        case (408?, .refused), (429?, .refused): kind = .failing
        case (let status?, .refused) where status >= 500: kind = .failing
        case (_, .refused): kind = .rejected
        case (_, .notFound), (_, .redirects), (_, .unsupportedScheme): kind = .notThere
        case (_, .untrusted): kind = .untrusted
        case (_, .unreachable), (_, .timedOut), (_, .other): kind = .unreachable
        }
        self.init(kind, error.url, error.detail)
    }

    public var subject: String { "controller \(url)" }
    public var remedy: String? {
        switch kind {
        case .unreachable: "check that it runs and that this host can reach it"
        case .untrusted: "check its certificate and this host's clock"
        case .notThere: "correct buildos.controller_url"
        case .unauthorized: "register this host's public key with the controller"
        case .disabled: "it is asked again later"
        case .local: "make room in /state and /build"
        case .failing, .rejected, .tooLarge, .unintelligible, .cannotSign, .cancelled: nil
        }
    }

    /// Whether a result may be taken later, once somebody has put something right at the controller or here.
    public var mayBeMended: Bool {
        switch kind {
        case .unreachable, .untrusted, .notThere, .failing, .disabled, .unauthorized, .local, .cancelled: true
        case .rejected, .tooLarge, .unintelligible, .cannotSign: false
        }
    }

    /// Whether the same request may succeed in a moment, without anyone changing anything.
    public var mayPass: Bool { kind == .unreachable || kind == .failing }
}
