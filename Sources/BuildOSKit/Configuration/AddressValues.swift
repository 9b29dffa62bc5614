/// A controller with the priority an operator gave it: `[<priority>=]<url>` as the agent takes it.
public struct Controller: Sendable, Hashable, CustomStringConvertible {
    /// Four digits `DCBA`, or five with a leading 0 or 1 for the CPU boost; as typed.
    public let priority: String?
    /// http or https.
    public let url: ResourceURL

    /// Parses a controller.
    ///
    /// - Throws: ``InvalidValue``
    public init(_ text: String) throws(InvalidValue) {
        let digits = text.utf8.prefix { $0.isASCIIDigit }
        if let priority = String(digits), !priority.isEmpty {
            guard text.utf8.dropFirst(digits.count).first == UInt8(ascii: "=") else {
                throw InvalidValue("'=' is missing after the priority '\(priority.prefix(20))'")
            }
            guard digits.count == 4 || (digits.count == 5 && (priority.hasPrefix("0") || priority.hasPrefix("1")))
            else {
                throw InvalidValue(
                    "the priority '\(priority.prefix(20))' is not four digits, or five of which the first is 0 or 1"
                )
            }
            self.priority = priority
            url = try Self.parseURL(String(text.dropFirst(digits.count + 1)))
        } else {
            priority = nil
            url = try Self.parseURL(text)
        }
    }

    private static func parseURL(_ text: String) throws(InvalidValue) -> ResourceURL {
        try ResourceURL(parameter: text, schemes: [.http, .https])
    }

    public var description: String { (priority.map { "\($0)=" } ?? "") + url.description }
}

extension ResourceURL {
    /// Parses a URL that may only have some of the schemes.
    init(parameter text: String, schemes: Set<Scheme>) throws(InvalidValue) {
        let url: ResourceURL
        do { url = try ResourceURL(text) } catch { throw InvalidValue(error.cause) }
        guard schemes.contains(url.scheme) else { throw InvalidValue("the scheme is \(url.scheme.rawValue)") }
        guard text.utf8.allSatisfy({ $0 < 0x80 }) else { throw InvalidValue("it holds something else than ASCII") }
        self = url
    }
}

/// A mail address that can stand in an alias table: a narrow subset of RFC 5321, 4.1.2.
public struct MailAddress: Sendable, Hashable, CustomStringConvertible {
    /// `local@domain`
    public let text: String

    /// Parses an address.
    ///
    /// - Throws: ``InvalidValue``
    public init(_ text: String) throws(InvalidValue) {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, let local = parts.first, let domain = parts.last else {
            throw InvalidValue("it is not of the form user@domain")
        }
        let extra = Set("._%+=-".utf8)
        guard let first = local.utf8.first, first.isASCIILetterOrDigit || first == UInt8(ascii: "_"),
            local.utf8.allSatisfy({ $0.isASCIILetterOrDigit || extra.contains($0) }), local.utf8.count <= 64
        else { throw InvalidValue("'\(local.prefix(80))' is not a mail user of letters, digits and . _ % + = -") }
        _ = try HostNameSyntax.check(String(domain))
        self.text = text
    }

    public var description: String { text }
}

/// The host that mail goes through, with a port if it isn't 25.
public struct RelayHost: Sendable, Hashable, CustomStringConvertible {
    /// A host name, an IPv4 address, or an IPv6 address without brackets.
    public let host: String
    /// The TCP port.
    public let port: UInt16?

    /// Parses `host`, `host:port`, `[address]` or `[address]:port`.
    ///
    /// - Throws: ``InvalidValue``
    public init(_ text: String) throws(InvalidValue) {
        let portText: Substring
        if text.hasPrefix("["), let close = text.firstIndex(of: "]") {
            let inside = String(text[..<close].dropFirst())
            if inside.contains(":") {
                guard inside.utf8.count <= 45, inside.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else {
                    throw InvalidValue("'\(inside.prefix(80))' is not an IPv6 address")
                }
                host = inside
            } else {
                host = try HostNameSyntax.check(inside)
            }
            portText = text[close...].dropFirst()
        } else {
            let name = text.prefix { $0 != ":" }
            host = try HostNameSyntax.check(String(name))
            portText = text[name.endIndex...]
        }
        if portText.isEmpty {
            port = nil
        } else {
            guard portText.hasPrefix(":"), let number = UInt16(portText.dropFirst()), number > 0 else {
                throw InvalidValue("'\(portText.prefix(20))' is not ':' and a port")
            }
            port = number
        }
    }

    public var description: String {
        (host.contains(":") ? "[\(host)]" : host) + (port.map { ":\($0)" } ?? "")
    }
}

/// What a host or domain name looks like (RFC 1123, 2.1), underscores allowed.
enum HostNameSyntax {
    /// Returns the name if it is one.
    @discardableResult
    static func check(_ text: String) throws(InvalidValue) -> String {
        guard !text.isEmpty else { throw InvalidValue("the host name is empty") }
        guard text.utf8.count <= 253 else { throw InvalidValue("the host name is longer than 253 characters") }
        for label in text.split(separator: ".", omittingEmptySubsequences: false) {
            guard isLabel(label) else { throw InvalidValue("'\(label.prefix(80))' is not part of a host name") }
        }
        return text
    }

    static func isLabel(_ label: Substring) -> Bool {
        !label.isEmpty && label.utf8.count <= 63 && label.first != "-" && label.last != "-"
            && label.utf8.allSatisfy {
                $0.isASCIILetterOrDigit || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
            }
    }
}
