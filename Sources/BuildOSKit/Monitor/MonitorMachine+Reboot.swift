// How a host goes down: builds are left to end, a random time is waited, the administrator is told (BOOT-11, BOOT-12).
extension MonitorMachine {
    mutating func drain(_ reason: RebootReason, at now: MonitorInstant) -> [MonitorEffect] {
        guard phase == .running else { return [] }
        enter(.draining(reason, deadline: now.advanced(by: settings.drainLimit)), at: now)
        if !toolchains.contains(where: { $0.phase.mayHaveAgents }) { return drained(reason, at: now) }
        nextDrainCheck = nil
        return [.drainAgents(reason: "the host is to reboot: \(reason)"), .lookAtMachines]
    }

    mutating func tickDraining(
        _ reason: RebootReason,
        _ deadline: MonitorInstant,
        at now: MonitorInstant
    ) -> [MonitorEffect] {
        if now >= deadline {
            enter(.stoppingAgents(reason), at: now)
            return stopAgents(sparing: [], at: now)
        }
        guard let due = nextDrainCheck, due <= now else { return [] }
        nextDrainCheck = nil
        return [.lookAtMachines]
    }

    /// A toolchain none of whose builds run is stopped, so that it takes no new task; the others get time.
    mutating func machinesInUse(
        _ result: Result<[MachineInUse], Trouble>,
        at now: MonitorInstant
    ) -> [MonitorEffect] {
        guard case .draining = phase else { return [] }
        nextDrainCheck = now.advanced(by: settings.drainCheckInterval)
        switch result {
        case .success(let found):
            inUse = found
            return stopAgents(sparing: Set(found.map(\.toolchain)), at: now)
        case .failure(let trouble):
            // Not knowing what runs, the host waits for the deadline.
            return mail(trouble, at: now, consequence: "The reboot waits until its time limit.")
        }
    }

    private mutating func stopAgents(sparing busy: Set<ToolchainName>, at now: MonitorInstant) -> [MonitorEffect] {
        var effects: [MonitorEffect] = []
        for index in toolchains.indices where toolchains[index].phase.mayHaveAgents {
            guard !busy.contains(toolchains[index].toolchain.name) else { continue }
            enter(.stopping, index, at: now)
            effects.append(.stopAgents(toolchains[index].toolchain))
        }
        return effects + continueIfDrained(at: now)
    }

    mutating func agentsStopped(
        _ name: ToolchainName,
        _ trouble: Trouble?,
        at now: MonitorInstant
    ) -> [MonitorEffect] {
        guard let index = index(of: name), toolchains[index].phase == .stopping else { return [] }
        enter(.stopped, index, at: now)
        let effects = trouble.map { mail($0, at: now, consequence: "The host reboots all the same.") } ?? []
        return effects + continueIfDrained(at: now)
    }

    private mutating func continueIfDrained(at now: MonitorInstant) -> [MonitorEffect] {
        guard !toolchains.contains(where: { $0.phase.mayHaveAgents || $0.phase == .stopping }) else { return [] }
        switch phase {
        case .draining(let reason, _), .stoppingAgents(let reason): return drained(reason, at: now)
        default: return []
        }
    }

    private mutating func drained(_ reason: RebootReason, at now: MonitorInstant) -> [MonitorEffect] {
        nextDrainCheck = nil
        inUse = []
        guard settings.rebootMethod == .kexec else { return delay(reason, .firmware, at: now) }
        guard let url = settings.buildIDURL else {
            let trouble = Trouble(
                .reboot,
                "reboot by kexec",
                cause: "there is no buildos.buildid_url to fetch the kernel from",
                remedy: "give buildos.buildid_url, or leave out buildos.reboot=kexec"
            )
            return kernelMissing(reason, trouble, at: now)
        }
        enter(.fetchingKernel(reason), at: now)
        return [.fetchKernel(url)]
    }

    mutating func kernelFetched(
        _ result: Result<RebootRequest, Trouble>,
        at now: MonitorInstant
    ) -> [MonitorEffect] {
        guard case .fetchingKernel(let reason) = phase else { return [] }
        switch result {
        case .success(let request): return delay(reason, request, at: now)
        case .failure(let trouble): return kernelMissing(reason, trouble, at: now)
        }
    }

    private mutating func kernelMissing(
        _ reason: RebootReason,
        _ trouble: Trouble,
        at now: MonitorInstant
    ) -> [MonitorEffect] {
        note(trouble)
        return mail(trouble, at: now, consequence: "The host reboots through its firmware instead.")
            + delay(reason, .firmware, at: now)
    }

    private mutating func delay(
        _ reason: RebootReason,
        _ request: RebootRequest,
        at now: MonitorInstant
    ) -> [MonitorEffect] {
        let wait = generator.duration(upTo: settings.rebootSpread)
        if wait == .zero { return announce(reason, request, at: now) }
        enter(.delaying(reason, request, until: now.advanced(by: wait)), at: now)
        return []
    }

    mutating func announce(
        _ reason: RebootReason,
        _ request: RebootRequest,
        at now: MonitorInstant
    ) -> [MonitorEffect] {
        enter(.announcing(reason, request), at: now)
        var id: BuildID?
        if case .buildID(let wanted) = reason { id = wanted }
        return [.announce(.reboot(reason, request), noting: id)]
    }

    mutating func announced(at now: MonitorInstant) -> [MonitorEffect] {
        guard case .announcing(let reason, let request) = phase else { return [] }
        return reboot(reason, request, at: now)
    }

    mutating func reboot(
        _ reason: RebootReason,
        _ request: RebootRequest,
        at now: MonitorInstant
    ) -> [MonitorEffect] {
        enter(.rebooting(reason, request, giveUp: now.advanced(by: settings.rebootPatience)), at: now)
        return [.reboot(request)]
    }

    /// A kexec that fails is followed by a reboot through the firmware at once, that one by tries with back-off.
    mutating func rebootRefused(_ trouble: Trouble, at now: MonitorInstant) -> [MonitorEffect] {
        guard case .rebooting(let reason, let request, _) = phase else { return [] }
        note(trouble)
        guard request == .firmware else {
            return mail(trouble, at: now, consequence: "The host reboots through its firmware instead.")
                + reboot(reason, .firmware, at: now)
        }
        rebootFailures += 1
        let wait = settings.backOff.delay(afterFailures: rebootFailures, using: &generator)
        enter(.rebootFailed(reason, trouble, nextTry: now.advanced(by: wait)), at: now)
        return mail(trouble, at: now, consequence: "The agents are stopped. It is tried again in \(wait.inWords).")
    }

    mutating func rebootStalled(
        _ reason: RebootReason,
        _ request: RebootRequest,
        at now: MonitorInstant
    ) -> [MonitorEffect] {
        rebootRefused(
            Trouble(
                .reboot,
                "reboot",
                cause: "the host still runs \(settings.rebootPatience.inWords) after it was asked to go down",
                remedy: "see 'systemctl list-jobs' on the host"
            ),
            at: now
        )
    }
}
