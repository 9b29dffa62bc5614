/// The kinds of trouble a monitor tells apart when it reports.
public enum TroubleKind: String, Sendable, Hashable, Codable, CaseIterable {
    /// A toolchain's files could not be fetched.
    case toolchainFetch = "toolchain-fetch"
    /// A toolchain's files are not what its checksums file says, or that file itself is wrong.
    case toolchainRefused = "toolchain-refused"
    /// A toolchain or the bot package could not be built.
    case toolchainBootstrap = "toolchain-bootstrap"
    /// A newer toolchain was announced but can't be had; the running one goes on.
    case toolchainUpdate = "toolchain-update"
    /// Agents don't start or don't stay up.
    case agents
    /// Build machine storage: unreadable volumes, strays that can't be removed.
    case storage
    /// A watched URL has not given a usable answer for a long time.
    case watch
    /// The kernel command line holds errors.
    case configuration
    /// Something the host's set-up reported while booting.
    case host
    /// The host should reboot and doesn't, or not in the way asked for.
    case reboot
}

/// Something that went wrong, as it is shown in the status and mailed to the administrator (MAIL-2).
public struct Trouble: DiagnosableError, Hashable, Codable {
    /// What kind of trouble it is.
    public let kind: TroubleKind
    /// The thing concerned: with the kind, what makes two troubles the same one.
    public let subject: String
    public let cause: String
    public let remedy: String?

    /// Creates a trouble.
    public init(_ kind: TroubleKind, _ subject: String, cause: String, remedy: String? = nil) {
        self.kind = kind
        self.subject = subject
        self.cause = cause
        self.remedy = remedy
    }

    /// Takes the words of an error. If that is about the same thing, what it is about is not said twice.
    public init(_ kind: TroubleKind, _ subject: String, from error: any Error) {
        guard let error = error as? any DiagnosableError else {
            self.init(kind, subject, cause: "\(error)")
            return
        }
        let isSame = error.subject.filter { $0 != "'" } == subject
        self.init(
            kind,
            subject,
            cause: isSame ? error.cause : "\(error.subject): \(error.cause)",
            remedy: error.remedy
        )
    }
}

/// Remembers what was mailed, so that the same trouble isn't mailed twice in a row without a pause (MAIL-2).
struct TroubleLedger: Sendable, Hashable {
    private struct Key: Sendable, Hashable {
        let kind: TroubleKind
        let subject: String
    }

    let pause: Duration
    private var mailedAt: [Key: MonitorInstant] = [:]

    init(pause: Duration) { self.pause = pause }

    /// Whether the trouble is to be mailed now; if so, it is taken as mailed.
    mutating func admits(_ trouble: Trouble, at now: MonitorInstant) -> Bool {
        let key = Key(kind: trouble.kind, subject: trouble.subject)
        if let last = mailedAt[key], last.duration(to: now) < pause { return false }
        mailedAt[key] = now
        return true
    }

    /// Forgets a trouble that has passed: should it come back, that is news.
    mutating func resolve(_ kind: TroubleKind, _ subject: String) {
        mailedAt[Key(kind: kind, subject: subject)] = nil
    }
}

extension Trouble {
    /// Takes over what the host's set-up left to be reported.
    public init(_ report: HostReport) {
        let kind: TroubleKind =
            switch report.kind {
            case .configuration: .configuration
            case .storage: .storage
            case .resources, .network, .setup: .host
            }
        let text = report.text.split(whereSeparator: \.isNewline).joined(separator: "; ")
        self.init(kind, report.subject, cause: text)
    }
}
