/// An absolute URL of one of the schemes a build host fetches from: http, https, tftp, file.
///
/// Parsed once at the edge; what it holds has no blanks, no control characters, no user information and
/// no fragment, so it can be shown in logs and joined with checked relative paths.
public struct ResourceURL: Sendable, Hashable, Codable, CustomStringConvertible {
    /// The schemes understood.
    public enum Scheme: String, Sendable, Hashable, CaseIterable {
        /// RFC 9110
        case http
        /// RFC 9110, over TLS
        case https
        /// RFC 1350, with the URLs of RFC 3617
        case tftp
        /// RFC 8089, of this machine
        case file
    }

    /// Why a text is not such a URL.
    public struct ParseError: DiagnosableError, Hashable {
        /// The text.
        public let text: String
        public let cause: String
        public var subject: String { "URL '\(text)'" }
        public var remedy: String? { "give an absolute URL such as https://example.org/toolchain.sha256" }
    }

    /// The scheme.
    public let scheme: Scheme
    /// Host with optional port; empty for `file`.
    public let authority: String
    /// Absolute path, beginning with `/`.
    public let path: String
    /// What follows `?`, if anything.
    public let query: String?

    /// Parses a URL.
    ///
    /// - Throws: ``ParseError`` that says what is wrong.
    public init(_ text: String) throws(ParseError) {
        func fail(_ cause: String) -> ParseError { ParseError(text: text, cause: cause) }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else {
            throw fail("it holds a blank or a control character")
        }
        guard !text.isEmpty else { throw fail("it is empty") }
        guard text.utf8.count <= 4096 else { throw fail("it is longer than 4096 bytes") }
        guard !text.contains("#") else { throw fail("it has a fragment ('#')") }
        guard let colon = text.firstIndex(of: ":"), text[colon...].hasPrefix("://") else {
            throw fail("it has no scheme")
        }
        guard let scheme = Scheme(rawValue: text[..<colon].lowercased()) else {
            throw fail("the scheme '\(text[..<colon])' is not http, https, tftp or file")
        }
        let afterScheme = text[colon...].dropFirst(3)
        let beforeQuery: Substring
        if let mark = afterScheme.firstIndex(of: "?") {
            query = String(afterScheme[afterScheme.index(after: mark)...])
            beforeQuery = afterScheme[..<mark]
        } else {
            query = nil
            beforeQuery = afterScheme
        }
        let slash = beforeQuery.firstIndex(of: "/") ?? beforeQuery.endIndex
        authority = String(beforeQuery[..<slash])
        path = slash == beforeQuery.endIndex ? "/" : String(beforeQuery[slash...])
        self.scheme = scheme
        guard !authority.contains("@") else { throw fail("it holds a user name, which would end up in logs") }
        switch scheme {
        case .file:
            guard authority.isEmpty || authority == "localhost" else { throw fail("a file URL names no host") }
        case .http, .https, .tftp:
            try Self.checkAuthority(authority, fail: fail)
        }
    }

    private static func checkAuthority(_ authority: String, fail: (String) -> ParseError) throws(ParseError) {
        var host = Substring(authority)
        if authority.hasPrefix("[") {
            guard let close = authority.firstIndex(of: "]") else { throw fail("'[' without ']' in the host") }
            let address = authority[authority.index(after: authority.startIndex)..<close]
            guard !address.isEmpty, address.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else {
                throw fail("'\(address)' is not an IPv6 address")
            }
            host = authority[authority.index(after: close)...]
            guard host.isEmpty || host.hasPrefix(":") else { throw fail("text after ']' in the host") }
        } else {
            let name = host.prefix { $0 != ":" }
            guard !name.isEmpty else { throw fail("it has no host") }
            guard name.utf8.allSatisfy({ $0.isHostNameByte }) else { throw fail("'\(name)' is not a host name") }
            host = host[name.endIndex...]
        }
        if !host.isEmpty {
            guard let port = UInt16(host.dropFirst()), port > 0 else {
                throw fail("'\(host.dropFirst())' is not a port")
            }
        }
    }

    /// The URL of a file beside this one: the last component of the path replaced by `relativePath`.
    ///
    /// The query is dropped, as with any relative reference (RFC 3986, 5.3).
    public func sibling(_ relativePath: RelativePath) -> ResourceURL {
        ResourceURL(scheme: scheme, authority: authority, path: directory + relativePath.percentEncoded)
    }

    /// The last component of the path.
    public var lastComponent: String { String(path[path.index(path.startIndex, offsetBy: directory.count)...]) }

    private var directory: String {
        guard let slash = path.lastIndex(of: "/") else { return "/" }
        return String(path[...slash])
    }

    private init(scheme: Scheme, authority: String, path: String) {
        self.scheme = scheme
        self.authority = authority
        self.path = path
        self.query = nil
    }

    public var description: String {
        "\(scheme.rawValue)://\(authority)\(path)" + (query.map { "?\($0)" } ?? "")
    }

    public init(from decoder: any Decoder) throws {
        try self.init(decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension UInt8 {
    fileprivate var isHostNameByte: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}
