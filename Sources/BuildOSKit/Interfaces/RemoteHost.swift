/// A host to log in to, and how. What is `nil` is as ssh(1) would have it from its configuration files.
public struct RemoteHost: Sendable, Hashable {
    /// A name, an address, or an alias in the configuration files.
    public var name: String
    /// The user to log in as.
    public var user: String?
    /// The TCP port.
    public var port: Int?
    /// Private key files to try, before any that the configuration files name.
    public var identityFiles: [FilePath]
    /// The configuration file to read in place of `~/.ssh/config` and `/etc/ssh/ssh_config`.
    public var configurationFile: FilePath?
    /// The files of known host keys, in place of the configured ones. A host whose key is in none is never connected to.
    public var knownHostsFiles: [FilePath]?
    /// Time to connect and log in; 30 seconds if neither this nor the configuration files say.
    public var connectTimeout: Duration?
    /// Asks for the passphrase of a key file; `nil` to give up. Without it, encrypted keys are passed over.
    public var passphrase: Passphrase?

    /// Something that asks for passphrases.
    public struct Passphrase: Sendable, Hashable {
        private let identity: ObjectIdentifier
        private let source: Source

        private final class Source: Sendable {
            let ask: @Sendable (FilePath) -> String?
            init(_ ask: @escaping @Sendable (FilePath) -> String?) { self.ask = ask }
        }

        /// Creates a source of passphrases.
        ///
        /// - Parameter ask: gets the key file; called on a thread that may block.
        public init(_ ask: @escaping @Sendable (FilePath) -> String?) {
            source = Source(ask)
            identity = ObjectIdentifier(source)
        }

        /// The passphrase of a key file.
        public func callAsFunction(_ keyFile: FilePath) -> String? { source.ask(keyFile) }

        public static func == (left: Self, right: Self) -> Bool { left.identity == right.identity }
        public func hash(into hasher: inout Hasher) { hasher.combine(identity) }
    }

    /// Why a text is not a host.
    public struct ParseError: DiagnosableError, Hashable {
        /// The text.
        public let text: String
        public let cause: String
        public var subject: String { "host '\(text)'" }
        public var remedy: String? { "give it as [user@]host[:port], such as build@example.org" }
    }

    /// Creates a host.
    public init(
        name: String,
        user: String? = nil,
        port: Int? = nil,
        identityFiles: [FilePath] = [],
        configurationFile: FilePath? = nil,
        knownHostsFiles: [FilePath]? = nil,
        connectTimeout: Duration? = nil,
        passphrase: Passphrase? = nil
    ) {
        self.name = name
        self.user = user
        self.port = port
        self.identityFiles = identityFiles
        self.configurationFile = configurationFile
        self.knownHostsFiles = knownHostsFiles
        self.connectTimeout = connectTimeout
        self.passphrase = passphrase
    }

    /// Parses `[user@]host[:port]`; an IPv6 address with a port is written in brackets.
    ///
    /// - Throws: ``ParseError``
    public init(_ text: String) throws(ParseError) {
        func fail(_ cause: String) -> ParseError { ParseError(text: text, cause: cause) }
        guard text.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value != 0x7f }) else {
            throw fail("it holds a blank or a control character")
        }
        var rest = Substring(text)
        var user: String?
        if let at = rest.lastIndex(of: "@") {
            user = String(rest[..<at])
            rest = rest[rest.index(after: at)...]
            guard user != "" else { throw fail("the user name is empty") }
        }
        var port: Int?
        if rest.hasPrefix("["), let close = rest.firstIndex(of: "]") {
            let after = rest[rest.index(after: close)...]
            guard after.isEmpty || after.hasPrefix(":") else { throw fail("text after ']'") }
            if !after.isEmpty { port = try Self.port(after.dropFirst(), fail) }
            rest = rest[rest.index(after: rest.startIndex)..<close]
        } else if let colon = rest.firstIndex(of: ":"), rest.lastIndex(of: ":") == colon {
            port = try Self.port(rest[rest.index(after: colon)...], fail)
            rest = rest[..<colon]
        }
        guard !rest.isEmpty else { throw fail("the host's name is empty") }
        guard !rest.hasPrefix("-"), user?.hasPrefix("-") != true else { throw fail("it begins with a dash") }
        self.init(name: String(rest), user: user, port: port)
    }

    private static func port(_ text: Substring, _ fail: (String) -> ParseError) throws(ParseError) -> Int {
        guard let port = UInt16(text), port > 0 else { throw fail("'\(text)' is not a port") }
        return Int(port)
    }

    /// `[user@]host[:port]`
    public var description: String {
        let host = name.contains(":") && port != nil ? "[\(name)]" : name
        return (user.map { "\($0)@" } ?? "") + host + (port.map { ":\($0)" } ?? "")
    }
}

extension RemoteHost: CustomStringConvertible {}
