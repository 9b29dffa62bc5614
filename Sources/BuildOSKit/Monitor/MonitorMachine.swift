/// What a build host's monitor knows and decides: a value that takes events and gives back what is to be done.
///
/// It never waits, reads a clock or touches the system: ``handle(_:at:)`` is told the time, and ``nextWake`` says when
/// a ``MonitorEvent/tick`` is due. So every transition is tested without waiting. ``MonitorEngine`` runs it.
public struct MonitorMachine: Sendable, Hashable {
    /// What it is to do.
    public let settings: MonitorSettings
    /// What the host is doing.
    public private(set) var phase: HostPhase = .starting
    /// Since when.
    public private(set) var phaseSince: MonitorInstant = .start
    /// The toolchains, in the order of the settings.
    public internal(set) var toolchains: [ToolchainState]
    /// The watch over the build id file, if there is one.
    public internal(set) var buildIDWatch: WatchState?
    /// Builds that a reboot waits for, as last seen.
    public internal(set) var inUse: [MachineInUse] = []
    /// What cleaning the machine directories came to.
    public internal(set) var cleaning: MachineCleaningReport?
    /// Troubles of the host as a whole that last: what its set-up reported, storage, a reboot that failed.
    public internal(set) var hostTroubles: [Trouble] = []

    var ledger: TroubleLedger
    var generator: SeededGenerator
    var rebootFailures = 0
    var nextDrainCheck: MonitorInstant?
    var nextAgentCheck: MonitorInstant?
    /// When the look at the agents that is under way was begun.
    var agentLook: MonitorInstant?

    /// Creates a machine that has not been started.
    ///
    /// - Parameter seed: decides all random delays.
    public init(_ settings: MonitorSettings, seed: UInt64) {
        self.settings = settings
        toolchains = settings.toolchains.map { ToolchainState($0) }
        // Without a build id of its own the host can't tell whether the one behind the URL is another.
        if let url = settings.buildIDURL, settings.runningBuildID != nil { buildIDWatch = WatchState(url: url) }
        ledger = TroubleLedger(pause: settings.mailPause)
        generator = SeededGenerator(seed: seed)
    }

    /// Takes an event and says what is to be done. An event that does not fit the phase is without effect.
    public mutating func handle(_ event: MonitorEvent, at now: MonitorInstant) -> [MonitorEffect] {
        switch event {
        case .started(let reports): start(reports, at: now)
        case .tick: tick(at: now)
        case .prepared(let result): prepared(result, at: now)
        case .synced(let name, let outcome): synced(name, outcome, at: now)
        case .bootstrapped(let name, let result): bootstrapped(name, result, at: now)
        case .agentsStarted(let name, let trouble): agentsStarted(name, trouble, at: now)
        case .agentsStopped(let name, let trouble): agentsStopped(name, trouble, at: now)
        case .agentsSeen(let units): agentsSeen(units, at: now)
        case .checksumsSeen(let name, let result): checksumsSeen(name, result, at: now)
        case .updateVerified(let name, let outcome): updateVerified(name, outcome, at: now)
        case .buildIDSeen(let result): buildIDSeen(result, at: now)
        case .machinesInUse(let result): machinesInUse(result, at: now)
        case .kernelFetched(let result): kernelFetched(result, at: now)
        case .announced: announced(at: now)
        case .rebootRefused(let trouble): rebootRefused(trouble, at: now)
        case .stopping: enter(.stopped, at: now)
        }
    }

    /// When the next ``MonitorEvent/tick`` is due; `nil` while there is nothing but answers to wait for.
    public var nextWake: MonitorInstant? {
        var due: [MonitorInstant] = []
        if let deadline = phase.deadline { due.append(deadline) }
        switch phase {
        case .running:
            due += toolchains.compactMap { $0.phase.failure?.nextTry }
            for state in toolchains {
                if state.isWatched, !state.watch.isPolling { due.append(state.watch.nextPoll) }
                if case .rejected(_, let failure) = state.update { due.append(failure.nextTry) }
            }
            if let watch = buildIDWatch, !watch.isPolling { due.append(watch.nextPoll) }
            if let nextAgentCheck, agentLook == nil { due.append(nextAgentCheck) }
        case .draining:
            if let nextDrainCheck { due.append(nextDrainCheck) }
        default: break
        }
        return due.min()
    }

    private mutating func start(_ reports: [Trouble], at now: MonitorInstant) -> [MonitorEffect] {
        enter(.starting, at: now)
        reports.forEach { note($0) }
        return reports.flatMap { mail($0, at: now, consequence: "The host runs on.") } + [.prepare]
    }

    private mutating func prepared(
        _ result: Result<MachineCleaningReport, Trouble>,
        at now: MonitorInstant
    ) -> [MonitorEffect] {
        guard phase == .starting else { return [] }
        var troubles: [Trouble] = []
        switch result {
        case .success(let report):
            cleaning = report
            if !report.problems.isEmpty {
                troubles.append(
                    Trouble(.storage, "machine directories", cause: report.problems.joined(separator: "; "))
                )
            }
        case .failure(let trouble): troubles.append(trouble)
        }
        troubles.forEach { note($0) }
        var effects = troubles.flatMap { mail($0, at: now, consequence: "The host runs on.") }
        enter(.running, at: now)
        if !toolchains.isEmpty { nextAgentCheck = now.advanced(by: settings.agentCheckInterval) }
        for index in toolchains.indices { effects += beginSync(index, at: now) }
        return effects + tick(at: now)
    }

    private mutating func tick(at now: MonitorInstant) -> [MonitorEffect] {
        switch phase {
        case .running: tickRunning(at: now)
        case .draining(let reason, let deadline): tickDraining(reason, deadline, at: now)
        case .delaying(let reason, let request, let until):
            now < until ? [] : announce(reason, request, at: now)
        case .rebooting(let reason, let request, let giveUp):
            now < giveUp ? [] : rebootStalled(reason, request, at: now)
        case .rebootFailed(let reason, _, let nextTry):
            now < nextTry ? [] : reboot(reason, .firmware, at: now)
        case .starting, .stoppingAgents, .fetchingKernel, .announcing, .stopped: []
        }
    }

    private mutating func tickRunning(at now: MonitorInstant) -> [MonitorEffect] {
        var effects: [MonitorEffect] = []
        for index in toolchains.indices {
            effects += retryIfDue(index, at: now)
            effects += pollIfDue(index, at: now)
        }
        if var watch = buildIDWatch, !watch.isPolling, watch.nextPoll <= now {
            watch.isPolling = true
            buildIDWatch = watch
            effects.append(.lookAtBuildID(watch.url))
        }
        return effects + tickAgents(at: now)
    }

    mutating func tickAgents(at now: MonitorInstant) -> [MonitorEffect] {
        guard let due = nextAgentCheck, due <= now, agentLook == nil else { return [] }
        nextAgentCheck = now.advanced(by: settings.agentCheckInterval)
        agentLook = now
        return [.lookAtAgents]
    }

    @discardableResult
    mutating func enter(_ next: HostPhase, at now: MonitorInstant) -> [MonitorEffect] {
        phase = next
        phaseSince = now
        return []
    }

    /// The mail about a trouble, unless it was mailed lately.
    mutating func mail(_ trouble: Trouble, at now: MonitorInstant, consequence: String) -> [MonitorEffect] {
        ledger.admits(trouble, at: now) ? [.mail(.about(trouble, consequence: consequence))] : []
    }

    /// Keeps a trouble of the host as a whole for the status, in place of an earlier one of the same kind.
    mutating func note(_ trouble: Trouble) {
        hostTroubles.removeAll { $0.kind == trouble.kind && $0.subject == trouble.subject }
        hostTroubles.append(trouble)
    }

    /// Where a toolchain stands in ``toolchains``.
    func index(of name: ToolchainName) -> Int? { toolchains.firstIndex { $0.toolchain.name == name } }
}
