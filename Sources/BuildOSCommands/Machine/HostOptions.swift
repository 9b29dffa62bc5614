import ArgumentParser
import BuildOSKit

/// Which hosts a command is about, and how they are reached.
struct HostOptions: ParsableArguments {
    @Option(
        name: .customLong("host"),
        help: ArgumentHelp(
            "A host, by SSH; may be repeated. Without one: this machine.",
            valueName: "[user@]host[:port]"
        )
    )
    var hosts: [String] = []

    @Option(
        name: .customLong("hosts"),
        help: ArgumentHelp(
            "More hosts, one a line; blank lines and those that begin with # are passed over.",
            valueName: "file"
        )
    )
    var hostsFile: String?

    @Option(help: ArgumentHelp("The volume of machines on the host.", valueName: "name"))
    var volume = "default"

    @Option(help: ArgumentHelp("The directory of volumes on the host.", valueName: "directory"))
    var root = MachineLayout().root.string

    @Option(help: ArgumentHelp("Where buildosctl is on the hosts.", valueName: "program"))
    var hostProgram = "buildosctl"

    @Option(
        name: .customLong("identity"),
        help: ArgumentHelp("A private key to log in with; may be repeated.", valueName: "file")
    )
    var identities: [String] = []

    @Option(help: ArgumentHelp("Read this in place of ~/.ssh/config.", valueName: "file"))
    var sshConfig: String?

    @Option(help: ArgumentHelp("Read host keys from this file in place of ~/.ssh/known_hosts.", valueName: "file"))
    var knownHosts: String?

    @Option(help: ArgumentHelp("How long a host may take to answer.", valueName: "seconds"))
    var connectTimeout = 30

    func validate() throws {
        guard (1...3600).contains(connectTimeout) else {
            throw ValidationError("--connect-timeout \(connectTimeout): expected 1 to 3600 seconds")
        }
    }

    /// Where the machines are on the host.
    var layout: MachineLayout { MachineLayout(root: FilePath(root)) }

    /// The option that tells another buildosctl so; none for where machines always are.
    var rootArguments: [String] { layout == MachineLayout() ? [] : ["--root", root] }

    /// The volume's name.
    func volumeName() throws(MachineError) -> VolumeName { try VolumeName(volume) }

    /// The hosts asked for, each once; none for this machine.
    ///
    /// - Throws: ``RemoteHost/ParseError``, or what keeps the file from being read.
    func remoteHosts() throws -> [RemoteHost] {
        var texts = hosts
        if let hostsFile {
            let lines = try FileTree.readText(FilePath(hostsFile)).split(whereSeparator: \.isNewline)
            let named = lines.map { $0.drop(while: \.isWhitespace) }.filter { !$0.isEmpty && !$0.hasPrefix("#") }
            guard !named.isEmpty else {
                throw MachineError(.invalid, hostsFile, cause: "it names no host", remedy: "write one host a line")
            }
            texts += named.map { line in String(line.prefix { !$0.isWhitespace }) }
        }
        var seen: Set<String> = []
        return try texts.filter { seen.insert($0).inserted }.map { text in
            var host = try RemoteHost(text)
            host.identityFiles = identities.map { FilePath($0) }
            host.configurationFile = sshConfig.map { FilePath($0) }
            host.knownHostsFiles = knownHosts.map { [FilePath($0)] }
            host.connectTimeout = .seconds(connectTimeout)
            return host
        }
    }
}

/// Where a command is done.
struct Place: Sendable {
    /// What it is called in reports.
    let label: String
    /// Runs commands there.
    let transport: any Transport
    let isRemote: Bool

    static let thisMachine = "this machine"

    /// The places that options name: hosts, or else this machine.
    static func all(_ options: HostOptions, _ registry: BackendRegistry) throws -> [Place] {
        let hosts = try options.remoteHosts()
        if hosts.isEmpty {
            return [Place(label: thisMachine, transport: try registry.makeTransport(to: .thisMachine), isRemote: false)]
        }
        return try hosts.map {
            Place(label: "\($0)", transport: try registry.makeTransport(to: .host($0)), isRemote: true)
        }
    }
}
