import BuildOSKit
import Glibc

/// What configuration files say about one host, as ssh(1) would read them: of every value the first one counts.
///
/// Known: Host, Match (all, host, originalhost, user, localuser), Include, HostName, User, Port, IdentityFile,
/// IdentitiesOnly, IdentityAgent, ProxyJump, UserKnownHostsFile, GlobalKnownHostsFile, HostKeyAlias,
/// ServerAliveInterval, ServerAliveCountMax, ConnectTimeout. Others are passed over; StrictHostKeyChecking too, as it is
/// always strict here.
struct SSHConfiguration: Sendable, Hashable {
    private(set) var hostName: String?
    private(set) var user: String?
    private(set) var port: Int?
    private(set) var identityFiles: [String] = []
    private(set) var identitiesOnly: Bool?
    private(set) var identityAgent: String?
    private(set) var proxyJump: String?
    private(set) var userKnownHostsFiles: [String]?
    private(set) var globalKnownHostsFiles: [String]?
    private(set) var hostKeyAlias: String?
    private(set) var serverAliveInterval: Int?
    private(set) var serverAliveCountMax: Int?
    private(set) var connectTimeout: Int?
    /// A program to connect through, which is not supported: where it is set, for the error.
    private(set) var proxyCommand: SSHConfigurationLine?

    /// The host's name as it was given, which `Host` is about.
    private let alias: String
    private let localUser: String
    private var includedFiles = 0

    private static let includeLimit = 256
    private static let depthLimit = 16
    private static let largestFile = 1 << 20

    /// - Parameter user: what the caller said, if anything; it counts before all files.
    init(alias: String, user: String?, localUser: String) {
        self.alias = alias
        self.user = user
        self.localUser = localUser
    }

    /// Reads a file.
    ///
    /// - Parameters:
    ///   - isRequired: whether it is an error if it isn't there.
    ///   - directory: what included files are relative to.
    mutating func read(_ file: FilePath, isRequired: Bool, directory: FilePath) throws(TransportError) {
        try read(file, isRequired: isRequired, directory: directory, depth: 0, isActive: true)
    }

    private mutating func read(
        _ file: FilePath,
        isRequired: Bool,
        directory: FilePath,
        depth: Int,
        isActive: Bool
    ) throws(TransportError) {
        let text: String
        do throws(FileError) {
            text = String(decoding: try FileTree.read(file, limit: Self.largestFile), as: UTF8.self)
        } catch {
            if !isRequired, error.errno == .noSuchFileOrDirectory { return }
            throw TransportError(.cannotStart, subject: file.string, detail: error.description)
        }
        try apply(
            try SSHConfigurationLine.all(in: text, name: file.string),
            directory: directory,
            depth: depth,
            isActive: isActive
        )
    }

    /// Whether a block of lines is about the host.
    private enum Block {
        case yes
        case no
        /// It depends on what isn't supported: an error if it holds anything that counts.
        case undecided(SSHConfigurationLine)
    }

    /// Applies lines in their order.
    mutating func apply(
        _ lines: [SSHConfigurationLine],
        directory: FilePath,
        depth: Int = 0,
        isActive: Bool = true
    ) throws(TransportError) {
        var block: Block = isActive ? .yes : .no
        for line in lines {
            switch line.keyword {
            case "host":
                guard !line.arguments.isEmpty else { throw line.error("it takes a name") }
                block = isActive && HostPattern.matches(line.arguments, alias) ? .yes : .no
            case "match": block = isActive ? try match(line) : .no
            case "include":
                if case .no = block { continue }
                if case .undecided(let match) = block { throw undecided(match, line) }
                try include(line, directory, depth)
            default:
                if case .no = block { continue }
                var changed = self
                try changed.set(line)
                guard changed != self else { continue }
                if case .undecided(let match) = block { throw undecided(match, line) }
                self = changed
            }
        }
    }

    private func undecided(_ match: SSHConfigurationLine, _ line: SSHConfigurationLine) -> TransportError {
        match.error(
            "only all, host, originalhost, user and localuser are supported, and \(line.keyword) depends on it",
            remedy: "use Host, or give another configuration file"
        )
    }

    private func match(_ line: SSHConfigurationLine) throws(TransportError) -> Block {
        var words = line.arguments[...]
        guard !words.isEmpty else { throw line.error("it takes criteria") }
        var isMatched = true
        var isDecided = true
        while var criterion = words.popFirst()?.lowercased() {
            let isNegated = criterion.hasPrefix("!")
            if isNegated { criterion.removeFirst() }
            if criterion == "all" { continue }
            let name: String? =
                switch criterion {
                case "host": hostName ?? alias
                case "originalhost": alias
                case "user": user ?? localUser
                case "localuser": localUser
                default: nil
                }
            guard let name else {
                isDecided = false
                if !["canonical", "final"].contains(criterion) { _ = words.popFirst() }
                continue
            }
            guard let patterns = words.popFirst() else { throw line.error("\(criterion) takes a pattern") }
            if HostPattern.matches(patterns.split(separator: ","), name) == isNegated { isMatched = false }
        }
        if !isMatched { return .no }
        return isDecided ? .yes : .undecided(line)
    }

    private mutating func set(_ line: SSHConfigurationLine) throws(TransportError) {
        switch line.keyword {
        case "hostname": try hostName.fill(with: line.one())
        case "user": try user.fill(with: line.one())
        case "port": try port.fill(with: line.number(1...65_535))
        case "identityfile": identityFiles.append(try line.one())
        case "identitiesonly": try identitiesOnly.fill(with: line.flag())
        case "identityagent": try identityAgent.fill(with: line.one())
        case "proxyjump":
            let value = try line.one()
            if proxyCommand == nil { proxyJump.fill(with: value) }
        case "proxycommand":
            // Of the two, the first one counts.
            if proxyJump == nil { proxyCommand.fill(with: line) }
        case "userknownhostsfile": userKnownHostsFiles.fill(with: line.arguments)
        case "globalknownhostsfile": globalKnownHostsFiles.fill(with: line.arguments)
        case "hostkeyalias": try hostKeyAlias.fill(with: line.one())
        case "serveraliveinterval": try serverAliveInterval.fill(with: line.number(0...86_400))
        case "serveralivecountmax": try serverAliveCountMax.fill(with: line.number(0...1000))
        case "connecttimeout": try connectTimeout.fill(with: line.number(1...86_400))
        default: break
        }
    }

    private mutating func include(
        _ line: SSHConfigurationLine,
        _ directory: FilePath,
        _ depth: Int
    ) throws(TransportError) {
        guard depth < Self.depthLimit else { throw line.error("files include each other too deeply") }
        for argument in line.arguments {
            let pattern = argument.hasPrefix("~/") ? LocalUser.current.home + argument.dropFirst(1) : argument
            let path = FilePath(pattern)
            for file in Self.files(path.isAbsolute ? path : directory.pushing(path)) {
                includedFiles += 1
                guard includedFiles <= Self.includeLimit else { throw line.error("it is one file too many") }
                try read(file, isRequired: false, directory: directory, depth: depth + 1, isActive: true)
            }
        }
    }

    private static func files(_ pattern: FilePath) -> [FilePath] {
        var found = glob_t()
        defer { globfree(&found) }
        guard glob(pattern.string, 0, nil, &found) == 0 else { return [] }
        return (0..<Int(found.gl_pathc)).compactMap { found.gl_pathv[$0].map { FilePath(String(cString: $0)) } }
    }
}

extension Optional {
    /// Takes a value unless there is one.
    fileprivate mutating func fill(with value: Wrapped) { if self == nil { self = value } }
}
