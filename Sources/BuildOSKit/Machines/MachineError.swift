/// Why something could not be done with a machine, on this host or another: it crosses the wire as it is.
public struct MachineError: DiagnosableError, Hashable, Codable {
    /// The kinds of failure that policy and exit codes tell apart.
    public enum Kind: String, Sendable, Hashable, Codable {
        /// A name, a path or a subvolume that can't be what was meant.
        case invalid
        /// No such volume, machine or revision.
        case notFound
        /// There is such a machine, or such a revision with other content.
        case alreadyExists
        /// There is no room.
        case noSpace
        /// Somebody else is changing this machine.
        case busy
        /// A time limit passed.
        case timedOut
        /// The connection ended, or somebody interrupted.
        case interrupted
        /// The other side speaks something else.
        case protocolError
        /// The storage refused.
        case storage
        /// The host can't be reached, or its commands can't be run.
        case transport
    }

    /// What kind of failure it is.
    public let kind: Kind
    public let subject: String
    public let cause: String
    public let remedy: String?

    /// Creates an error.
    public init(_ kind: Kind, _ subject: String, cause: String, remedy: String? = nil) {
        self.kind = kind
        self.subject = subject
        self.cause = cause
        self.remedy = remedy
    }

    /// Any error, as one of a machine; `subject` is used where the error names none itself.
    public init(_ error: any Error, subject: String) {
        switch error {
        case let error as MachineError: self = error
        case let error as MachineStorageError:
            let kind: Kind =
                switch error.kind {
                case .noSpace: .noSpace
                case .notFound: .notFound
                case .cancelled: .interrupted
                default: .storage
                }
            self.init(kind, error.subject, cause: error.cause, remedy: error.remedy)
        case let error as FileError:
            let kind: Kind = error.errno == .noSpace || error.errno == .diskQuotaExceeded ? .noSpace : .storage
            self.init(kind, error.subject, cause: error.cause, remedy: error.remedy)
        case let error as TransportError:
            let kind: Kind =
                switch error.kind {
                case .timedOut: .timedOut
                case .cancelled, .connectionLost: .interrupted
                default: .transport
                }
            self.init(kind, error.subject, cause: error.cause, remedy: error.remedy)
        case let error as InvalidValue: self.init(.invalid, subject, cause: error.cause)
        case is CancellationError: self.init(.interrupted, subject, cause: "it was cancelled", remedy: "run it again")
        case let error as any DiagnosableError:
            self.init(.storage, error.subject, cause: error.cause, remedy: error.remedy)
        default: self.init(.storage, subject, cause: "\(error)")
        }
    }
}

/// A text from outside, fit to be shown: what can't be printed is replaced, what is long is cut.
func printable(_ text: String, limit: Int = 100) -> String {
    let shown = text.unicodeScalars.prefix(limit).map { $0.properties.isPrintableOnConsole ? $0 : "?" }
    return String(String.UnicodeScalarView(shown)) + (text.unicodeScalars.count > limit ? "..." : "")
}
