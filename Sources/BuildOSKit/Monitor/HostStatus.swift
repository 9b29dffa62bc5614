/// What a host is doing, as `/run/buildos/status.json` has it. Keys are in camel case and stay; what is not known is
/// left out. A change that a reader of an earlier schema would misunderstand raises ``schema``.
public struct HostStatus: Sendable, Hashable, Codable {
    /// The schema that this program writes.
    public static let currentSchema = 1

    /// Which schema it is.
    public var schema = currentSchema
    /// The host's name.
    public var host: String
    /// The build id that runs.
    public var buildId: String?
    /// The monitor's process.
    public var processId: Int32
    /// When the monitor started.
    public var startedAt: Timestamp
    /// When this was written.
    public var writtenAt: Timestamp
    /// It is written anew at least this often: older by much more, and no monitor is alive.
    public var heartbeatSeconds: Int
    /// What the host is doing: the name of a ``HostPhase``.
    public var state: String
    /// Since when.
    public var since: Timestamp
    /// Why it is about to reboot.
    public var reason: String?
    /// When the state ends by itself at the latest.
    public var until: Timestamp?
    /// Why it isn't building, a sentence each; empty if all agents run.
    public var waitingFor: [String]
    /// What each instance gets.
    public var slice: Slice?
    /// The toolchains.
    public var toolchains: [Toolchain]
    /// The watch over the build id.
    public var buildIdWatch: Watch?
    /// Builds that run, as far as a reboot waits for them.
    public var inUse: [String]
    /// What was removed from machine directories when the monitor started.
    public var removedAtStart: [String]
    /// What is wrong with the host as a whole.
    public var troubles: [Trouble]
    /// Errors and warnings of the kernel command line.
    public var configurationErrors: [String]
    /// The latest mails, the newest last.
    public var mails: [Mail]
    /// What builtin agents are doing: put in by who reads, from the files that each of them writes itself.
    public var agents: [AgentStatus]?
    /// The request that agents take nothing new, if there is one; likewise.
    public var drain: DrainRequest?

    /// What an instance gets (RES-1, RES-2).
    public struct Slice: Sendable, Hashable, Codable {
        /// CPUs.
        public var cpus: Int
        /// KiB of RAM for the build machine.
        public var buildRamKiB: Int
        /// KiB of RAM for auxiliary machines.
        public var auxiliaryRamKiB: Int

        /// Creates a slice.
        public init(cpus: Int, buildRamKiB: Int, auxiliaryRamKiB: Int) {
            self.cpus = cpus
            self.buildRamKiB = buildRamKiB
            self.auxiliaryRamKiB = auxiliaryRamKiB
        }
    }

    /// A toolchain.
    public struct Toolchain: Sendable, Hashable, Codable {
        /// Its name.
        public var name: String
        /// What it is doing: the name of a ``ToolchainPhase``.
        public var state: String
        /// Since when.
        public var since: Timestamp
        /// Its version, once its files were verified.
        public var version: String?
        /// Its id, likewise.
        public var id: String?
        /// How many instances it has.
        public var instances: Int
        /// Their nice value.
        public var nice: Int
        /// Which agents it has, an ``AgentKind``, once that is decided.
        public var agent: String?
        /// Why these.
        public var agentReason: String?
        /// Why it doesn't run.
        public var failure: Failure?
        /// A newer set of files: `verifying`, `rejected` or `accepted`.
        public var update: String?
        /// Why the newer set is rejected.
        public var updateFailure: Failure?
        /// The watch over its checksums file.
        public var watch: Watch
        /// Its agents' units.
        public var agents: [AgentUnitState]
    }

    /// A failed step.
    public struct Failure: Sendable, Hashable, Codable {
        /// The step.
        public var step: String
        /// Why.
        public var cause: String
        /// What to do about it.
        public var remedy: String?
        /// How often in a row.
        public var failures: Int
        /// When it is tried again.
        public var nextTry: Timestamp
    }

    /// A watched file.
    public struct Watch: Sendable, Hashable, Codable {
        /// Where it is.
        public var url: String
        /// When it last gave a usable answer.
        public var lastAnswer: Timestamp?
        /// Since when it has given none.
        public var failingSince: Timestamp?
        /// Why.
        public var problem: String?
    }

    /// A mail.
    public struct Mail: Sendable, Hashable, Codable {
        /// When it was handed to the mail system.
        public var at: Timestamp
        /// Its subject.
        public var subject: String
        /// Why it couldn't be.
        public var problem: String?
    }
}
