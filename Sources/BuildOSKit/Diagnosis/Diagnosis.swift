/// What works on this machine and what doesn't, with remedies: backends, interfaces, and the commands that run programs of
/// the machine's (`buildosctl doctor`).
public struct Diagnosis: Sendable, Hashable, Codable {
    /// What is examined.
    public enum Kind: String, Sendable, Hashable, Codable {
        /// A file that should be a module, and can't be loaded.
        case module
        /// A backend, on this machine.
        case backend
        /// An interface, for which no backend is ready.
        case interface
        /// A command of `buildosctl`.
        case command
    }

    /// One thing that was examined.
    public struct Entry: Sendable, Hashable, Codable {
        /// What it is.
        public let kind: Kind
        /// Its name.
        public let name: String
        /// What it misses; empty if it is ready.
        public let findings: [PreflightFinding]
        /// Whether it is ready.
        public var isReady: Bool { findings.isEmpty }

        /// Creates an entry.
        public init(_ kind: Kind, _ name: String, findings: [PreflightFinding]) {
            self.kind = kind
            self.name = name
            self.findings = findings
        }
    }

    /// How bad it is.
    public enum Verdict: String, Sendable, Hashable, Codable {
        /// Everything is ready.
        case healthy
        /// Every interface has a backend that is ready, but some other backend or a command isn't.
        case limited
        /// A module can't be loaded, or an interface has no backend that is ready.
        case ailing
    }

    /// Modules that can't be loaded, then backends, interfaces without any, commands.
    public let entries: [Entry]

    /// How bad it is.
    public var verdict: Verdict {
        let ailments = Set(entries.filter { !$0.isReady }.map(\.kind))
        if ailments.isEmpty { return .healthy }
        return ailments.isDisjoint(with: [.module, .interface]) ? .limited : .ailing
    }

    /// Creates a diagnosis from what was examined.
    public init(entries: [Entry]) { self.entries = entries }

    /// Examines this machine. Changes nothing; takes as long as the preflights do.
    ///
    /// - Parameters:
    ///   - providers: the backends that were found, by whom each one's interface is also examined.
    ///   - problems: what else was found.
    ///   - commands: what commands need, by their names.
    public init(
        of providers: [any BackendProvider],
        problems: [ModuleProblem] = [],
        commands: [CommandNeeds] = []
    ) async {
        var entries = problems.map { problem in
            let remedy = problem.remedy ?? "reinstall it, or take it off the search path"
            return Entry(
                .module,
                problem.file.string,
                findings: [PreflightFinding(problem: problem.cause, remedy: remedy)]
            )
        }
        var ready: Set<BackendInterface> = []
        for provider in providers.inListingOrder {
            let (identity, findings) = (provider.identity, await provider.preflight())
            if findings.isEmpty { ready.insert(identity.interface) }
            entries.append(Entry(.backend, "\(identity.name) (\(identity.interface.rawValue))", findings: findings))
        }
        for interface in BackendInterface.allCases where !ready.contains(interface) {
            let known = providers.filter { $0.identity.interface == interface }.map(\.identity.name)
            entries.append(Entry(.interface, interface.rawValue, findings: [Self.absence(of: interface, known: known)]))
        }
        entries += commands.map { Entry(.command, $0.name, findings: $0.findings()) }
        self.entries = entries
    }

    private static func absence(of interface: BackendInterface, known: [String]) -> PreflightFinding {
        known.isEmpty
            ? PreflightFinding(
                problem: "no module offers it",
                remedy: "install one in <prefix>/lib/buildos/modules, or name its directory with --module-path"
            )
            : PreflightFinding(
                problem: "no backend of it is ready: \(known.joined(separator: ", "))",
                remedy: "mend one of them as said above"
            )
    }
}

/// What a command needs on this machine besides backends.
public struct CommandNeeds: Sendable, Hashable {
    /// The command, as an operator types it.
    public let name: String
    /// Programs and files of Debian packages.
    public let tools: [ImageTool]
    /// Files of this installation.
    public let installed: [FilePath]

    /// Creates a description.
    public init(_ name: String, tools: [ImageTool], installed: [FilePath] = []) {
        self.name = name
        self.tools = tools
        self.installed = installed
    }

    /// What the commands of `buildosctl` need, which is installed under `prefix`.
    public static func ofControl(prefix: FilePath) -> [CommandNeeds] {
        [
            CommandNeeds(
                "buildosctl image build",
                tools: ImageTool.forBuilding,
                installed: ["bin/buildosd", "lib/buildos", "share/buildos/os"].map { prefix.appending($0) }
            ),
            CommandNeeds("buildosctl image boot", tools: ImageTool.forBooting(overNetwork: false, scratchDisks: false)),
            CommandNeeds(
                "buildosctl image boot --pxe --scratch-disks",
                tools: ImageTool.forBooting(overNetwork: true, scratchDisks: true)
            ),
        ]
    }

    /// What of it is missing.
    public func findings(searchPath: String = ImageTool.searchPath) -> [PreflightFinding] {
        var findings = installed.filter { !FileTree.exists($0) }.map {
            PreflightFinding(problem: "\($0) is not there", remedy: "run 'make', or 'make install' again")
        }
        let missing = ImageTool.missing(tools, path: searchPath)
        if !missing.isEmpty {
            let error = ImageBuildError(.missingPrograms(missing))
            findings.append(
                PreflightFinding(problem: "\(error.subject): \(error.cause)", remedy: error.remedy ?? "install them")
            )
        }
        return findings
    }
}
