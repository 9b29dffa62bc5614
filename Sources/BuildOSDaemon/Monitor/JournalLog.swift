import BuildOSKit
import Glibc

/// Writes log messages to standard error, a line each. Under systemd the line begins with its syslog level, which the
/// journal takes off and keeps (sd-daemon(3)).
struct JournalLog: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .info
    private let withLevel: Bool

    init(label: String) { withLevel = HostProcess.environmentVariable("JOURNAL_STREAM") != nil }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let level = withLevel ? "<\(event.level.syslogPriority)>" : ""
        let text = event.message.description.split(whereSeparator: \.isNewline).joined(separator: " ")
        let line = Array("\(level)\(text)\n".utf8)
        // One write for a line keeps lines of several threads apart.
        _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

extension Logger.Level {
    fileprivate var syslogPriority: Int {
        switch self {
        case .critical: 2
        case .error: 3
        case .warning: 4
        case .notice: 5
        case .info: 6
        case .debug, .trace: 7
        }
    }
}
