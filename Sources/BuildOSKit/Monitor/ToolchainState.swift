/// A toolchain whose files were all fetched and verified.
public struct SyncedToolchain: Sendable, Hashable {
    /// Its version, from the name of its archive (TOOL-1).
    public let version: String
    /// What tells it from any other: the first checksum of its checksums file.
    public let id: String
    /// The digest of the checksums file itself: a change of it is a change of the toolchain (BOOT-9).
    public let checksums: Digest

    /// Creates a description.
    public init(version: String, id: String, checksums: Digest) {
        self.version = version
        self.id = id
        self.checksums = checksums
    }
}

/// The steps by which a toolchain gets to run.
public enum ToolchainStep: String, Sendable, Hashable, Codable {
    /// Fetching and verifying its files.
    case sync
    /// Building it and the bot package.
    case bootstrap
    /// Starting its agents.
    case agents
}

/// A failed step and when it is tried again.
public struct ToolchainFailure: Sendable, Hashable {
    /// What failed.
    public let step: ToolchainStep
    /// Why.
    public let trouble: Trouble
    /// How often in a row.
    public let failures: Int
    /// When it is tried again.
    public let nextTry: MonitorInstant
}

/// What a toolchain is doing (TOOL-5, TOOL-6).
public enum ToolchainPhase: Sendable, Hashable {
    /// Nothing yet: the host is still being prepared.
    case waiting
    /// Its files are fetched and verified.
    case syncing
    /// Verified; another toolchain is being bootstrapped, which is heavy, so this one waits its turn.
    case queued(SyncedToolchain)
    /// It and the bot package are being built.
    case bootstrapping(SyncedToolchain)
    /// Its agents are being started.
    case startingAgents(SyncedToolchain)
    /// Its agents run.
    case running(SyncedToolchain)
    /// Its checksums file says `disabled`.
    case disabled
    /// What was fetched is wrong. A change of the checksums file, or the next try, may mend it.
    case refused(ToolchainFailure)
    /// A step failed for a reason that may pass.
    case failed(ToolchainFailure, SyncedToolchain?)
    /// Its agents are being stopped, for a reboot.
    case stopping
    /// Its agents have been stopped, for a reboot.
    case stopped

    /// The name in the status.
    public var name: String {
        switch self {
        case .waiting: "waiting"
        case .syncing: "syncing"
        case .queued: "queued"
        case .bootstrapping: "bootstrapping"
        case .startingAgents: "starting-agents"
        case .running: "running"
        case .disabled: "disabled"
        case .refused: "refused"
        case .failed: "failed"
        case .stopping: "stopping"
        case .stopped: "stopped"
        }
    }

    /// The failure that is being waited out.
    public var failure: ToolchainFailure? {
        switch self {
        case .refused(let failure), .failed(let failure, _): failure
        default: nil
        }
    }

    /// The toolchain's files, once they were verified.
    public var synced: SyncedToolchain? {
        switch self {
        case .queued(let synced), .bootstrapping(let synced), .startingAgents(let synced), .running(let synced): synced
        case .failed(_, let synced): synced
        case .waiting, .syncing, .disabled, .refused, .stopping, .stopped: nil
        }
    }

    /// Whether agents of it may be running.
    var mayHaveAgents: Bool {
        switch self {
        case .startingAgents, .running: true
        case .failed(let failure, _): failure.step == .agents
        default: false
        }
    }
}

/// How far a newer set of a running toolchain's files has come.
public enum ToolchainUpdate: Sendable, Hashable {
    /// It is being fetched beside the running one, to see whether it is whole.
    case verifying(Digest)
    /// It can't be had or is wrong; the running one goes on.
    case rejected(Digest, ToolchainFailure)
    /// It is whole: the host reboots for it.
    case accepted
}

/// All that is known of one toolchain.
public struct ToolchainState: Sendable, Hashable {
    /// What was configured.
    public let toolchain: Toolchain
    /// What it is doing.
    public internal(set) var phase: ToolchainPhase = .waiting
    /// Since when.
    public internal(set) var since: MonitorInstant = .start
    /// A newer set of files, if one was announced while it runs.
    public internal(set) var update: ToolchainUpdate?
    /// The watch over its checksums file.
    public internal(set) var watch: WatchState
    /// The digest of the checksums file as it was last seen.
    var lastSeen: Digest?
    /// Failures in a row, of any step before it runs.
    var failures = 0
    /// Which agents it has, once that is decided.
    public internal(set) var agent: AgentChoice?
    /// Its units as they were last seen.
    public internal(set) var agents: [AgentUnitState] = []
    /// How often systemd had restarted each instance when that was last of interest.
    var restartsBefore: [Int: Int] = [:]
    /// Failures in a row to get a newer set of files while it runs.
    var updateFailures = 0

    init(_ toolchain: Toolchain) {
        self.toolchain = toolchain
        watch = WatchState(url: toolchain.url)
    }

    /// The name used in messages.
    var subject: String { "toolchain \(toolchain.name)" }
}

/// A file on a server that is looked at regularly.
public struct WatchState: Sendable, Hashable {
    /// Where it is.
    public let url: ResourceURL
    /// When it is looked at next.
    public internal(set) var nextPoll: MonitorInstant = .start
    /// Whether an answer is being waited for.
    public internal(set) var isPolling = false
    /// When it last gave a usable answer.
    public internal(set) var lastAnswer: MonitorInstant?
    /// Since when it has given none.
    public internal(set) var failingSince: MonitorInstant?
    /// Why it gave none.
    public internal(set) var trouble: Trouble?
}

/// A systemd unit of an agent (TOOL-7).
public struct AgentUnitState: Sendable, Hashable, Codable {
    /// Which instance of its toolchain, from 1.
    public let instance: Int
    /// The unit's name.
    public let unit: String
    /// `active`, `activating`, `inactive`, `failed`, … as systemd says.
    public let activeState: String
    /// `running`, `auto-restart`, … as systemd says.
    public let subState: String
    /// How often systemd restarted it.
    public let restarts: Int
    /// Its nice value.
    public let nice: Int?
    /// The CPUs it may run on, as systemd lists them.
    public let cpuAffinity: String?

    /// Creates a description.
    public init(
        instance: Int,
        unit: String,
        activeState: String,
        subState: String,
        restarts: Int = 0,
        nice: Int? = nil,
        cpuAffinity: String? = nil
    ) {
        self.instance = instance
        self.unit = unit
        self.activeState = activeState
        self.subState = subState
        self.restarts = restarts
        self.nice = nice
        self.cpuAffinity = cpuAffinity
    }
}
