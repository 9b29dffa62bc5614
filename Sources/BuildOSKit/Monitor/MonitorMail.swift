/// A message to the host's administrator (MAIL-2).
public struct MonitorMail: Sendable, Hashable {
    /// What it is about, on one line; the host's name is put before it when it is sent.
    public let subject: String
    /// Paragraphs of text.
    public let paragraphs: [String]

    /// Creates a message.
    public init(subject: String, paragraphs: [String]) {
        self.subject = subject
        self.paragraphs = paragraphs
    }

    /// A message about a trouble.
    static func about(_ trouble: Trouble, consequence: String) -> MonitorMail {
        MonitorMail(
            subject: headline(trouble),
            paragraphs: ["\(trouble.subject): \(trouble.cause)."] + (trouble.remedy.map { ["Remedy: \($0)."] } ?? [])
                + [consequence]
        )
    }

    /// A message about a reboot.
    static func reboot(_ reason: RebootReason, _ request: RebootRequest) -> MonitorMail {
        let way =
            switch request {
            case .firmware: "The host reboots through its firmware now."
            case .kexec: "The host boots straight into the new kernel now (kexec)."
            }
        return MonitorMail(subject: "reboot for an update", paragraphs: ["Reason: \(reason).", way])
    }

    private static func headline(_ trouble: Trouble) -> String {
        switch trouble.kind {
        case .toolchainFetch: "\(trouble.subject) can't be fetched"
        case .toolchainRefused: "\(trouble.subject) is refused"
        case .toolchainBootstrap: "\(trouble.subject) can't be bootstrapped"
        case .toolchainUpdate: "\(trouble.subject) can't be updated"
        case .agents: "agents of \(trouble.subject) don't run"
        case .storage: "trouble with machine storage"
        case .watch: "no usable answer from \(trouble.subject)"
        case .configuration: "errors in the configuration"
        case .host: "trouble while booting"
        case .reboot: "the host can't reboot as asked"
        }
    }

    /// The message as `sendmail -t` reads it (RFC 5322), addressed to root. Nothing that comes from outside can add
    /// a header: in the subject whatever is not a printable ASCII character becomes `?`, and the text begins after
    /// the empty line.
    public func rendered(host: String, buildID: BuildID?) -> String {
        let footer = "Sent by the monitor of \(host)" + (buildID.map { ", build id \($0)" } ?? "") + "."
        let text = (paragraphs + [footer]).map(Self.wrapped).joined(separator: "\n\n")
        return """
            To: root
            Subject: \(Self.header("[\(host)] \(subject)"))
            Auto-Submitted: auto-generated
            MIME-Version: 1.0
            Content-Type: text/plain; charset=utf-8
            Content-Transfer-Encoding: 8bit

            \(text)

            """
    }

    private static func header(_ text: String) -> String {
        let printable = text.unicodeScalars.map { (0x20...0x7e).contains($0.value) ? Character($0) : "?" }
        return String(printable.prefix(200))
    }

    /// Breaks at blanks so that lines stay below 79 characters and far below the 998 bytes of RFC 5322, 2.1.1;
    /// words longer than a line are kept whole up to 200 characters.
    private static func wrapped(_ paragraph: String) -> String {
        let clean = String(
            String.UnicodeScalarView(
                paragraph.unicodeScalars.map { $0 == "\n" || $0.properties.isPrintableOnConsole ? $0 : "?" }
            )
        )
        return clean.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            var lines: [String] = [""]
            for word in line.split(separator: " ") {
                var rest = word[...]
                while rest.count > 200 {
                    lines.append(String(rest.prefix(200)))
                    rest = rest.dropFirst(200)
                }
                if lines[lines.count - 1].count + 1 + rest.count > 78, !lines[lines.count - 1].isEmpty {
                    lines.append("")
                }
                lines[lines.count - 1] += (lines[lines.count - 1].isEmpty ? "" : " ") + rest
            }
            return lines.filter { !$0.isEmpty }.map { $0 == "." ? ". " : $0 }.joined(separator: "\n")
        }.joined(separator: "\n")
    }
}
