/// Where bootstrapped toolchains, their work directories and their logs are.
public struct ToolchainLayout: Sendable, Hashable {
    /// The home of the build user, `/build` on a host.
    public let base: FilePath

    /// Creates the layout under a directory.
    public init(base: FilePath = "/build") { self.base = base }

    /// The directory of all bootstrapped toolchains.
    public var toolchains: FilePath { base.appending("toolchains") }

    /// Where a toolchain is installed. Paths into it are compiled in, so it is never renamed.
    public func prefix(_ name: ToolchainName) -> FilePath { toolchains.appending(name.description) }

    /// Where its archive is unpacked and built; wiped before and after.
    public func work(_ name: ToolchainName) -> FilePath { toolchains.appending(".work-\(name)") }

    /// Where the output of its bootstrap goes. The log of the attempt before is beside it, as `.1`.
    public func log(_ name: ToolchainName) -> FilePath { base.appending("logs").appending("toolchain-\(name).log") }

    /// The agent's program, once it is there.
    func agent(_ name: ToolchainName) -> FilePath { prefix(name).appending("bin").appending("bbot-agent") }

    /// The file that says which toolchain a prefix holds, written when all else is done.
    func marker(_ name: ToolchainName) -> FilePath { prefix(name).appending(".buildos-bootstrapped") }
}

/// How a toolchain is to be bootstrapped.
public struct BootstrapOptions: Sendable, Hashable {
    /// The C++ compiler, a name in `PATH` or a path.
    public var compiler: String
    /// Time for the whole bootstrap, the bot package included; `buildos.bootstrap_limit`.
    public var timeLimit: Duration
    /// Time the build2 tools give one network operation (`build.sh --timeout`, `bpkg --fetch-timeout`).
    public var networkTimeout: Duration
    /// How many jobs run side by side; the tools decide if `nil`.
    public var jobs: Int?
    /// The package repository in place of the one embedded in the archive's `build.sh`.
    public var repository: String?

    /// Creates options; the defaults are those of a host.
    public init(
        compiler: String = "g++",
        timeLimit: Duration = .seconds(7200),
        networkTimeout: Duration = .seconds(600),
        jobs: Int? = nil,
        repository: String? = nil
    ) {
        self.compiler = compiler
        self.timeLimit = timeLimit
        self.networkTimeout = networkTimeout
        self.jobs = jobs
        self.repository = repository
    }
}

/// A toolchain that is installed on this host, with the bot package built by it (TOOL-5).
public struct BootstrappedToolchain: Sendable, Hashable {
    /// Its name.
    public let name: ToolchainName
    /// Its version.
    public let version: ToolchainVersion
    /// What identifies it; see ``PublishedToolchain/id``.
    public let id: Digest
    /// Where it is installed.
    public let prefix: FilePath
    /// The agent's program.
    public let agent: FilePath
    /// The first line that the agent's `--version` prints.
    public let agentVersion: String
    /// Whether an earlier run of this host had bootstrapped it already.
    public let wasThere: Bool

    /// Creates a description; for implementations of what a monitor calls.
    public init(
        name: ToolchainName,
        version: ToolchainVersion,
        id: Digest,
        prefix: FilePath,
        agent: FilePath,
        agentVersion: String,
        wasThere: Bool
    ) {
        self.name = name
        self.version = version
        self.id = id
        self.prefix = prefix
        self.agent = agent
        self.agentVersion = agentVersion
        self.wasThere = wasThere
    }
}

/// Why a toolchain could not be bootstrapped. Its prefix and work directory are gone then, its log is not.
public struct ToolchainBootstrapError: DiagnosableError, Hashable {
    /// The kinds of failure that policy tells apart.
    public enum Kind: Sendable, Hashable {
        /// The archive is not one that can be unpacked safely; says why.
        case archive(String)
        /// A step ended badly.
        case step(BootstrapStep, TransportError)
        /// A step ended badly, and the file system it works on is full.
        case noSpace(BootstrapStep, TransportError)
        /// The time for the whole bootstrap passed during a step; what ran was killed with its children.
        case timedOut(BootstrapStep, Duration)
        /// There is no agent where the bot package should have installed one.
        case noAgent
        /// A file could not be written or read.
        case file(FileError)
        /// The task was cancelled.
        case cancelled
    }

    /// What kind of failure it is.
    public let kind: Kind
    /// The toolchain.
    public let toolchain: ToolchainName
    /// Where the output of the steps is.
    public let log: FilePath

    /// Creates an error.
    public init(_ kind: Kind, toolchain: ToolchainName, log: FilePath) {
        self.kind = kind
        self.toolchain = toolchain
        self.log = log
    }

    public var subject: String { "toolchain '\(toolchain)'" }
    public var cause: String {
        switch kind {
        case .archive(let reason): "its archive was refused: \(reason)"
        case .step(let step, let error): "can't \(step.purpose): \(error.cause)"
        case .noSpace(let step, let error):
            "can't \(step.purpose): the file system is full: \(error.cause)"
        case .timedOut(let step, let limit):
            "bootstrap took longer than \(limit) and was ended, with all it had started, while it was to \(step.purpose)"
        case .noAgent: "the bot package was installed, but left no bin/bbot-agent"
        case .file(let error): "\(error.subject): \(error.cause)"
        case .cancelled: "the bootstrap was cancelled"
        }
    }
    public var remedy: String? {
        switch kind {
        case .archive: "publish an archive as build2's own, with one top directory that holds build.sh"
        case .noSpace: "make room on the file system of \(log.removingLastComponent().removingLastComponent())"
        case .step, .noAgent: "see \(log)"
        case .timedOut: "see \(log); raise buildos.bootstrap_limit if it was only slow"
        case .file(let error): error.remedy
        case .cancelled: nil
        }
    }

    /// Whether another attempt with the same archive may succeed.
    public var mayRetry: Bool {
        switch kind {
        case .archive, .cancelled: false
        case .step, .noSpace, .timedOut, .noAgent, .file: true
        }
    }
}

extension ToolchainBootstrapError.Kind {
    /// Whether the toolchain could be built, and only its bot package could not.
    var concernsAgentAlone: Bool {
        switch self {
        case .step(let step, _): step.isForAgent
        case .noAgent: true
        case .archive, .noSpace, .timedOut, .file, .cancelled: false
        }
    }
}

/// The steps of a bootstrap.
public enum BootstrapStep: String, Sendable, Hashable, Codable, CaseIterable {
    case list, unpack, build
    case createConfiguration = "create-configuration"
    case addRepository = "add-repository"
    case fetchRepository = "fetch-repository"
    case buildAgent = "build-agent"
    case installAgent = "install-agent"
    case checkAgent = "check-agent"

    /// Whether it comes after the toolchain itself, for its bot package.
    var isForAgent: Bool {
        switch self {
        case .list, .unpack, .build: false
        case .createConfiguration, .addRepository, .fetchRepository, .buildAgent, .installAgent, .checkAgent: true
        }
    }

    /// What it does, to stand after "can't" or "to".
    public var purpose: String {
        switch self {
        case .list: "read the archive"
        case .unpack: "unpack the archive"
        case .build: "build the toolchain with its build.sh"
        case .createConfiguration: "create the configuration of the bot package"
        case .addRepository: "add the package repository"
        case .fetchRepository: "fetch the package repository"
        case .buildAgent: "build the bot package"
        case .installAgent: "install the bot package"
        case .checkAgent: "run the agent it built"
        }
    }
}
