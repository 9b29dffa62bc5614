// How a toolchain gets to run: sync, bootstrap, agents; and what happens when a step fails (TOOL-5, TOOL-6).
extension MonitorMachine {
    mutating func beginSync(_ index: Int, at now: MonitorInstant) -> [MonitorEffect] {
        enter(.syncing, index, at: now)
        return [.sync(toolchains[index].toolchain)]
    }

    mutating func synced(
        _ name: ToolchainName,
        _ outcome: ToolchainSyncOutcome,
        at now: MonitorInstant
    ) -> [MonitorEffect] {
        guard let index = index(of: name), toolchains[index].phase == .syncing else { return [] }
        let subject = toolchains[index].subject
        switch outcome {
        case .ready(let synced):
            toolchains[index].lastSeen = synced.checksums
            resolve([.toolchainFetch, .toolchainRefused], subject)
            enter(.queued(synced), index, at: now)
            return bootstrapNext(at: now)
        case .disabled(let digest):
            toolchains[index].lastSeen = digest
            toolchains[index].failures = 0
            resolve([.toolchainFetch, .toolchainRefused, .toolchainBootstrap], subject)
            enter(.disabled, index, at: now)
            return []
        case .refused(let trouble, let digest):
            toolchains[index].lastSeen = digest ?? toolchains[index].lastSeen
            return fail(index, .sync, trouble, isRefusal: true, at: now)
        case .failed(let trouble, let digest):
            toolchains[index].lastSeen = digest ?? toolchains[index].lastSeen
            return fail(index, .sync, trouble, at: now)
        }
    }

    /// Bootstraps are heavy, so there is one at a time; the toolchain that was ready first goes first.
    mutating func bootstrapNext(at now: MonitorInstant) -> [MonitorEffect] {
        guard phase == .running,
            !toolchains.contains(where: { if case .bootstrapping = $0.phase { true } else { false } })
        else { return [] }
        let queued = toolchains.indices.filter { if case .queued = toolchains[$0].phase { true } else { false } }
        guard let index = queued.min(by: { toolchains[$0].since < toolchains[$1].since }),
            case .queued(let synced) = toolchains[index].phase
        else { return [] }
        enter(.bootstrapping(synced), index, at: now)
        return [.bootstrap(toolchains[index].toolchain, synced)]
    }

    mutating func bootstrapped(
        _ name: ToolchainName,
        _ result: Result<AgentChoice, Trouble>,
        at now: MonitorInstant
    ) -> [MonitorEffect] {
        guard let index = index(of: name), case .bootstrapping(let synced) = toolchains[index].phase else { return [] }
        switch result {
        case .success(let agent): toolchains[index].agent = agent
        case .failure(let trouble): return fail(index, .bootstrap, trouble, at: now) + bootstrapNext(at: now)
        }
        toolchains[index].failures = 0
        resolve([.toolchainBootstrap], toolchains[index].subject)
        guard phase == .running else {
            enter(.stopped, index, at: now)
            return []
        }
        return startAgents(index, synced, at: now) + bootstrapNext(at: now)
    }

    mutating func agentsStarted(
        _ name: ToolchainName,
        _ trouble: Trouble?,
        at now: MonitorInstant
    ) -> [MonitorEffect] {
        guard let index = index(of: name), case .startingAgents(let synced) = toolchains[index].phase else { return [] }
        if let trouble { return fail(index, .agents, trouble, synced, at: now) }
        enter(.running(synced), index, at: now)
        nextAgentCheck = now
        return phase == .running ? tickAgents(at: now) : []
    }

    /// Takes what systemd says of the units. One that it has given up is trouble, and is started again (TOOL-7).
    /// Only agents that stayed up for a while end the trouble: those that come and go are reported once.
    mutating func agentsSeen(_ units: [ToolchainName: [AgentUnitState]], at now: MonitorInstant) -> [MonitorEffect] {
        var effects: [MonitorEffect] = []
        let begun = agentLook ?? now
        agentLook = nil
        for index in toolchains.indices {
            toolchains[index].agents = units[toolchains[index].toolchain.name] ?? []
            // A look begun before the phase was entered shows what was before.
            guard phase == .running, case .running(let synced) = toolchains[index].phase,
                toolchains[index].since <= begun
            else { continue }
            let down = toolchains[index].agents.filter { $0.activeState == "failed" || $0.activeState == "inactive" }
            if down.isEmpty {
                if let trouble = restlessness(index) {
                    effects += mail(trouble, at: now, consequence: "They are restarted whenever they end.")
                    continue
                }
                guard toolchains[index].since.duration(to: now) >= settings.agentProbation else { continue }
                toolchains[index].failures = 0
                resolve([.agents], toolchains[index].subject)
                continue
            }
            let names = down.map { "\($0.unit) is \($0.activeState)" }.joined(separator: ", ")
            let trouble = Trouble(
                .agents,
                toolchains[index].subject,
                cause: names,
                remedy: "see 'journalctl -u \(down[0].unit)' on the host"
            )
            effects += fail(index, .agents, trouble, synced, at: now)
        }
        return effects
    }

    /// Agents that systemd keeps restarting do no work, though no unit has failed.
    private mutating func restlessness(_ index: Int) -> Trouble? {
        var restless: [AgentUnitState] = []
        for agent in toolchains[index].agents {
            let before = toolchains[index].restartsBefore[agent.instance] ?? agent.restarts
            toolchains[index].restartsBefore[agent.instance] = min(before, agent.restarts)
            if agent.restarts - before >= settings.restartLimit { restless.append(agent) }
        }
        guard let worst = restless.max(by: { $0.restarts < $1.restarts }) else { return nil }
        for agent in restless { toolchains[index].restartsBefore[agent.instance] = agent.restarts }
        return Trouble(
            .agents,
            toolchains[index].subject,
            cause: restless.map { "\($0.unit) was restarted \($0.restarts) times" }.joined(separator: ", "),
            remedy: "see 'journalctl -u \(worst.unit)' on the host"
        )
    }

    mutating func retryIfDue(_ index: Int, at now: MonitorInstant) -> [MonitorEffect] {
        guard let failure = toolchains[index].phase.failure, failure.nextTry <= now else { return [] }
        if failure.step == .agents, let synced = toolchains[index].phase.synced {
            return startAgents(index, synced, at: now)
        }
        return beginSync(index, at: now)
    }

    private mutating func startAgents(
        _ index: Int,
        _ synced: SyncedToolchain,
        at now: MonitorInstant
    ) -> [MonitorEffect] {
        guard let agent = toolchains[index].agent else { return beginSync(index, at: now) }
        enter(.startingAgents(synced), index, at: now)
        return [.startAgents(toolchains[index].toolchain, synced, agent.kind)]
    }

    private mutating func fail(
        _ index: Int,
        _ step: ToolchainStep,
        _ trouble: Trouble,
        _ synced: SyncedToolchain? = nil,
        isRefusal: Bool = false,
        at now: MonitorInstant
    ) -> [MonitorEffect] {
        toolchains[index].failures += 1
        let failures = toolchains[index].failures
        let delay = settings.backOff.delay(afterFailures: failures, using: &generator)
        let failure = ToolchainFailure(
            step: step,
            trouble: trouble,
            failures: failures,
            nextTry: now.advanced(by: delay)
        )
        enter(isRefusal ? .refused(failure) : .failed(failure, synced), index, at: now)
        return mail(
            trouble,
            at: now,
            consequence: "It is tried again in \(delay.inWords), then less and less often. Other toolchains run on."
        )
    }

    mutating func enter(_ next: ToolchainPhase, _ index: Int, at now: MonitorInstant) {
        toolchains[index].phase = next
        toolchains[index].since = now
    }

    mutating func resolve(_ kinds: [TroubleKind], _ subject: String) {
        for kind in kinds { ledger.resolve(kind, subject) }
    }
}

extension Duration {
    /// Rounded to what a reader wants to know: `40 s`, `12 min`, `3 h 5 min`.
    var inWords: String {
        let seconds = Int((self / .seconds(1)).rounded())
        switch seconds {
        case ..<120: return "\(seconds) s"
        case ..<7200: return "\((seconds + 30) / 60) min"
        default:
            let minutes = (seconds + 30) / 60
            return minutes % 60 == 0 ? "\(minutes / 60) h" : "\(minutes / 60) h \(minutes % 60) min"
        }
    }
}
