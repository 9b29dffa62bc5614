import BuildOSKit

/// All that decides how a host is logged in to: what the caller says, what configuration files say, what is usual.
struct HostSettings: Sendable, CustomStringConvertible {
    /// As the caller named it.
    var alias: String
    var hostName: String
    var port: Int
    var user: String
    /// The name that known_hosts files have it by (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").
    var knownHostsName: String
    var knownHostsFiles: [FilePath]
    /// Key files of the caller: tried first.
    var chosenIdentities: [FilePath]
    /// Key files of the configuration, or the usual ones: tried after the agent's keys.
    var configuredIdentities: [FilePath]
    /// Whether of the agent's keys only those are used whose file is named.
    var identitiesOnly: Bool
    /// The agent's socket; `nil` for none.
    var agentSocket: FilePath?
    var connectTimeout: Duration
    /// Silence after which the host is asked to answer; `nil` for never.
    var keepAliveInterval: Duration?
    /// Unanswered questions after which it is given up.
    var keepAliveCount: Int
    /// Hosts to go through, the nearest first.
    var jumps: [RemoteHost]
    var passphrase: RemoteHost.Passphrase?

    var description: String {
        let name = hostName.contains(":") ? "[\(hostName)]" : hostName
        let address = "\(user)@\(name):\(port)"
        return alias == hostName ? address : "\(alias) (\(address))"
    }
}

extension HostSettings {
    /// Reads the configuration files and puts everything together.
    ///
    /// - Parameter jumps: in place of those in the configuration files.
    /// - Throws: ``TransportError`` for a file that can't be understood, or asks for what isn't supported.
    static func resolve(_ host: RemoteHost, jumps: [RemoteHost]?) throws(TransportError) -> HostSettings {
        let local = LocalUser.current
        var configuration = SSHConfiguration(alias: host.name, user: host.user, localUser: local.name)
        let directory = FilePath(local.home).appending(".ssh")
        if let file = host.configurationFile {
            try configuration.read(file, isRequired: true, directory: directory)
        } else {
            try configuration.read(directory.appending("config"), isRequired: false, directory: directory)
            try configuration.read("/etc/ssh/ssh_config", isRequired: false, directory: "/etc/ssh")
        }
        return try resolve(host, configuration, local, jumps)
    }

    static func resolve(
        _ host: RemoteHost,
        _ configuration: SSHConfiguration,
        _ local: LocalUser,
        _ givenJumps: [RemoteHost]?
    ) throws(TransportError) -> HostSettings {
        var tokens = SSHTokens(values: ["h": host.name, "n": host.name, "u": local.name, "d": local.home])
        let hostName = tokens.expand(configuration.hostName ?? host.name)
        let port = host.port ?? configuration.port ?? 22
        let user = configuration.user ?? local.name
        let knownName = configuration.hostKeyAlias ?? hostName
        tokens.values.merge(["h": hostName, "p": String(port), "r": user, "k": knownName]) { $1 }
        func path(_ text: String) -> FilePath {
            let text = tokens.expandVariables(tokens.expand(text))
            return FilePath(text == "~" || text.hasPrefix("~/") ? local.home + text.dropFirst() : text)
        }
        let known =
            host.knownHostsFiles
            ?? (configuration.userKnownHostsFiles ?? ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]).map(path)
            + (configuration.globalKnownHostsFiles ?? ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]).map(
                path
            )
        let identities =
            configuration.identityFiles.isEmpty ? usualIdentities : configuration.identityFiles.filter { $0 != "none" }
        let hops = if let givenJumps { givenJumps } else { try jumps(for: host, configuration, tokens) }
        let interval = configuration.serverAliveInterval ?? 15
        return HostSettings(
            alias: host.name,
            hostName: hostName,
            port: port,
            user: user,
            // An alias stands for the host, whatever the port (ssh_config(5), "HostKeyAlias").
            knownHostsName: (configuration.hostKeyAlias != nil || port == 22 ? knownName : "[\(knownName)]:\(port)")
                .lowercased(),
            knownHostsFiles: known.filter { $0 != "none" },
            chosenIdentities: host.identityFiles,
            configuredIdentities: identities.map(path),
            identitiesOnly: configuration.identitiesOnly ?? false,
            agentSocket: agent(configuration.identityAgent.map(path)),
            connectTimeout: host.connectTimeout ?? configuration.connectTimeout.map { .seconds($0) } ?? .seconds(30),
            // libssh2 asks every two seconds at most.
            keepAliveInterval: interval == 0 ? nil : .seconds(max(interval, 2)),
            keepAliveCount: configuration.serverAliveCountMax ?? 3,
            jumps: hops,
            passphrase: host.passphrase
        )
    }

    private static let usualIdentities = ["~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"]

    private static func agent(_ configured: FilePath?) -> FilePath? {
        if configured == "none" { return nil }
        if let configured, configured != "SSH_AUTH_SOCK" { return configured }
        return HostProcess.environmentVariable("SSH_AUTH_SOCK").flatMap { $0.isEmpty ? nil : FilePath($0) }
    }

    private static func jumps(
        for host: RemoteHost,
        _ configuration: SSHConfiguration,
        _ tokens: SSHTokens
    ) throws(TransportError) -> [RemoteHost] {
        if let line = configuration.proxyCommand, line.arguments.first?.lowercased() != "none" {
            throw TransportError(
                .unsupported,
                subject: "\(line.place) (ProxyCommand)",
                detail: "connections through a program's input and output",
                remedy: "use ProxyJump"
            )
        }
        guard let text = configuration.proxyJump, text.lowercased() != "none" else { return [] }
        var jumps: [RemoteHost] = []
        for part in tokens.expand(text).split(separator: ",") {
            do throws(RemoteHost.ParseError) {
                var jump = try RemoteHost(part.hasPrefix("ssh://") ? String(part.dropFirst(6)) : String(part))
                jump.identityFiles = host.identityFiles
                jump.configurationFile = host.configurationFile
                jump.knownHostsFiles = host.knownHostsFiles
                jump.connectTimeout = host.connectTimeout
                jump.passphrase = host.passphrase
                jumps.append(jump)
            } catch {
                throw TransportError(.cannotStart, subject: "ProxyJump of \(host)", detail: error.description)
            }
        }
        return jumps
    }
}

/// The placeholders of ssh_config(5), "TOKENS" and "ENVIRONMENT VARIABLES".
struct SSHTokens {
    var values: [Character: String]

    /// Replaces `%` and a letter; an unknown one stays as it is.
    func expand(_ text: String) -> String {
        var result = ""
        var rest = text[...]
        while let character = rest.popFirst() {
            guard character == "%", let next = rest.popFirst() else {
                result.append(character)
                continue
            }
            result += next == "%" ? "%" : values[next] ?? "%\(next)"
        }
        return result
    }

    /// Replaces `${NAME}`; one that isn't set stays as it is.
    func expandVariables(_ text: String) -> String {
        var result = ""
        var rest = text[...]
        while let start = rest.firstRange(of: "${"), let end = rest[start.upperBound...].firstIndex(of: "}") {
            let name = String(rest[start.upperBound..<end])
            result += rest[..<start.lowerBound] + (HostProcess.environmentVariable(name) ?? "${\(name)}")
            rest = rest[rest.index(after: end)...]
        }
        return result + rest
    }
}
