/// What a status says that the machine doesn't know.
public struct StatusContext: Sendable, Hashable {
    /// The host's name.
    public var host: String
    /// The monitor's process.
    public var processID: Int32
    /// What each instance gets.
    public var slice: HostStatus.Slice?
    /// Errors and warnings of the kernel command line.
    public var configurationErrors: [String]

    /// Creates a context.
    public init(
        host: String,
        processID: Int32,
        slice: HostStatus.Slice? = nil,
        configurationErrors: [String] = []
    ) {
        self.host = host
        self.processID = processID
        self.slice = slice
        self.configurationErrors = configurationErrors
    }
}

extension HostStatus {
    /// Describes a machine.
    ///
    /// - Parameters:
    ///   - now: the machine's instant that is `wallClock` on the calendar.
    init(
        _ machine: MonitorMachine,
        _ context: StatusContext,
        at now: MonitorInstant,
        wallClock: Timestamp,
        heartbeat: Duration,
        mails: [Mail]
    ) {
        func time(_ instant: MonitorInstant) -> Timestamp { wallClock.advanced(by: now.duration(to: instant)) }
        self.init(
            host: context.host,
            buildId: machine.settings.runningBuildID?.description,
            processId: context.processID,
            startedAt: time(.start),
            writtenAt: wallClock,
            heartbeatSeconds: Int(heartbeat / .seconds(1)),
            state: machine.phase.name,
            since: time(machine.phaseSince),
            reason: machine.phase.reason?.description,
            until: machine.phase.deadline.map(time),
            waitingFor: machine.waitingFor,
            slice: context.slice,
            toolchains: machine.toolchains.map { Toolchain($0, time: time) },
            buildIdWatch: machine.buildIDWatch.map { Watch($0, time: time) },
            inUse: machine.inUse.map(\.snapshot),
            removedAtStart: machine.cleaning?.removed ?? [],
            troubles: machine.hostTroubles,
            configurationErrors: context.configurationErrors,
            mails: mails
        )
    }
}

extension HostStatus.Toolchain {
    init(_ state: ToolchainState, time: (MonitorInstant) -> Timestamp) {
        var updateFailure: ToolchainFailure?
        var update: String?
        switch state.update {
        case .verifying: update = "verifying"
        case .rejected(_, let failure): (update, updateFailure) = ("rejected", failure)
        case .accepted: update = "accepted"
        case nil: break
        }
        self.init(
            name: state.toolchain.name.text,
            state: state.phase.name,
            since: time(state.since),
            version: state.phase.synced?.version,
            id: state.phase.synced?.id,
            instances: state.toolchain.instances,
            nice: state.toolchain.nice,
            agent: state.agent?.kind.rawValue,
            agentReason: state.agent?.reason,
            failure: state.phase.failure.map { HostStatus.Failure($0, time: time) },
            update: update,
            updateFailure: updateFailure.map { HostStatus.Failure($0, time: time) },
            watch: HostStatus.Watch(state.watch, time: time),
            agents: state.agents
        )
    }
}

extension HostStatus.Failure {
    init(_ failure: ToolchainFailure, time: (MonitorInstant) -> Timestamp) {
        self.init(
            step: failure.step.rawValue,
            cause: failure.trouble.cause,
            remedy: failure.trouble.remedy,
            failures: failure.failures,
            nextTry: time(failure.nextTry)
        )
    }
}

extension HostStatus.Watch {
    init(_ watch: WatchState, time: (MonitorInstant) -> Timestamp) {
        self.init(
            url: watch.url.description,
            lastAnswer: watch.lastAnswer.map(time),
            failingSince: watch.failingSince.map(time),
            problem: watch.trouble?.cause
        )
    }
}

extension MonitorMachine {
    /// Why the host isn't building, a sentence each: silence is what operators of build farms complain about most.
    var waitingFor: [String] {
        switch phase {
        case .starting: return ["machine directories are being cleaned"]
        case .running: break
        case .draining:
            return ["\(inUse.count) builds are left to end before a reboot"]
        case .stoppingAgents: return ["agents are being stopped for a reboot"]
        case .fetchingKernel: return ["the new kernel is being fetched for a reboot"]
        case .delaying: return ["a random delay before a reboot"]
        case .announcing, .rebooting: return ["the host is rebooting"]
        case .rebootFailed(_, let trouble, _): return ["the host could not reboot: \(trouble.cause)"]
        case .stopped: return ["the monitor was stopped"]
        }
        if toolchains.isEmpty { return ["no toolchain is configured: give buildos.toolchain_url"] }
        return toolchains.flatMap(\.waitingFor)
    }
}

extension ToolchainState {
    fileprivate var waitingFor: [String] {
        let what: String
        switch phase {
        case .waiting: what = "it has not begun"
        case .syncing: what = "its files are being fetched"
        case .queued: what = "it waits for the bootstrap of another toolchain"
        case .bootstrapping: what = "it is being bootstrapped"
        case .startingAgents: what = "its agents are being started"
        case .disabled: what = "its checksums file says that it is disabled"
        case .refused(let failure): what = "its files are refused: \(failure.trouble.cause)"
        case .failed(let failure, _): what = "\(failure.step.rawValue) failed: \(failure.trouble.cause)"
        case .stopping, .stopped: what = "its agents were stopped"
        case .running where agents.isEmpty: what = "the state of its agents is not known"
        case .running:
            return agents.filter { $0.activeState != "active" }.map {
                "\(subject): \($0.unit) is \($0.activeState) (\($0.subState))"
            }
        }
        return ["\(subject): \(what)"]
    }
}
