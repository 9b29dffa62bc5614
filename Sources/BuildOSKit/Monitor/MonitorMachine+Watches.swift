// The watches over checksums files and the build id, and what a change leads to (BOOT-8, BOOT-9).
extension ToolchainState {
    /// Whether its checksums file is looked at: while it runs, for a change to reboot for, and while it waits after a
    /// failure or is disabled, for a change that lets it run.
    var isWatched: Bool {
        switch phase {
        case .running, .startingAgents, .disabled, .refused, .failed: true
        case .waiting, .syncing, .queued, .bootstrapping, .stopping, .stopped: false
        }
    }
}

extension MonitorMachine {
    mutating func pollIfDue(_ index: Int, at now: MonitorInstant) -> [MonitorEffect] {
        if case .rejected(let digest, let failure) = toolchains[index].update, failure.nextTry <= now {
            return verify(digest, index)
        }
        guard toolchains[index].isWatched, !toolchains[index].watch.isPolling,
            toolchains[index].watch.nextPoll <= now
        else { return [] }
        toolchains[index].watch.isPolling = true
        return [.lookAtChecksums(toolchains[index].toolchain)]
    }

    mutating func checksumsSeen(
        _ name: ToolchainName,
        _ result: Result<Digest, Trouble>,
        at now: MonitorInstant
    ) -> [MonitorEffect] {
        guard let index = index(of: name) else { return [] }
        let wasFailing = toolchains[index].watch.failingSince != nil
        var watch = toolchains[index].watch
        let effects = answered(&watch, result.map { _ in () }, at: now)
        toolchains[index].watch = watch
        guard phase == .running, case .success(let digest) = result else { return effects }
        let isNews = digest != toolchains[index].lastSeen
        toolchains[index].lastSeen = digest
        switch toolchains[index].phase {
        case .startingAgents(let synced), .running(let synced), .failed(_, let synced?):
            return effects + compare(digest, with: synced, index)
        case .disabled where isNews:
            return effects + beginSync(index, at: now)
        case .refused where isNews || wasFailing, .failed where isNews || wasFailing:
            // It never ran, so there is nothing to reboot for: a change, or a server that is back, is tried at once.
            return effects + beginSync(index, at: now)
        default: return effects
        }
    }

    /// A toolchain that runs is replaced by a reboot, but only by files that are known to be whole.
    private mutating func compare(_ digest: Digest, with synced: SyncedToolchain, _ index: Int) -> [MonitorEffect] {
        if digest == synced.checksums {
            // Taken back before it was acted upon.
            toolchains[index].update = nil
            toolchains[index].updateFailures = 0
            resolve([.toolchainUpdate], toolchains[index].subject)
            return []
        }
        switch toolchains[index].update {
        case .verifying, .accepted: return []
        case .rejected(digest, _): return []
        case .rejected, nil: return verify(digest, index)
        }
    }

    private mutating func verify(_ digest: Digest, _ index: Int) -> [MonitorEffect] {
        toolchains[index].update = .verifying(digest)
        return [.verifyUpdate(toolchains[index].toolchain)]
    }

    mutating func updateVerified(
        _ name: ToolchainName,
        _ outcome: ToolchainSyncOutcome,
        at now: MonitorInstant
    ) -> [MonitorEffect] {
        guard let index = index(of: name), case .verifying(let digest) = toolchains[index].update else { return [] }
        switch outcome {
        case .ready(let synced):
            if synced.checksums == toolchains[index].phase.synced?.checksums {
                toolchains[index].update = nil
                return []
            }
            toolchains[index].update = .accepted
            return drain(.toolchain(name, version: synced.version), at: now)
        case .disabled:
            toolchains[index].update = .accepted
            return drain(.toolchain(name, version: nil), at: now)
        case .refused(let trouble, let seen), .failed(let trouble, let seen):
            let delay = settings.backOff.delay(
                afterFailures: toolchains[index].updateFailures + 1,
                using: &generator
            )
            toolchains[index].updateFailures += 1
            let reported = Trouble(.toolchainUpdate, toolchains[index].subject, from: trouble)
            let failure = ToolchainFailure(
                step: .sync,
                trouble: reported,
                failures: toolchains[index].updateFailures,
                nextTry: now.advanced(by: delay)
            )
            toolchains[index].update = .rejected(seen ?? digest, failure)
            return mail(
                reported,
                at: now,
                consequence: "The toolchain that runs goes on. The new one is tried again in \(delay.inWords), "
                    + "and as soon as its checksums file changes."
            )
        }
    }

    mutating func buildIDSeen(_ result: Result<BuildID, Trouble>, at now: MonitorInstant) -> [MonitorEffect] {
        guard var watch = buildIDWatch else { return [] }
        let effects = answered(&watch, result.map { _ in () }, at: now)
        buildIDWatch = watch
        guard phase == .running, case .success(let id) = result, id != settings.runningBuildID else { return effects }
        if let record = settings.lastReboot, record.buildID == id, now < pauseEnd(after: record) {
            let trouble = Trouble(
                .reboot,
                "reboot for build id \(id)",
                cause:
                    "the host rebooted for it \(record.count == 1 ? "once" : "\(record.count) times") and came up with "
                    + "\(settings.runningBuildID?.description ?? "another") again",
                remedy: "see that the boot server serves all three files of that image"
            )
            note(trouble)
            let wait = now.duration(to: pauseEnd(after: record)).inWords
            return effects + mail(trouble, at: now, consequence: "It goes on building and tries again in \(wait).")
        }
        return effects + drain(.buildID(id), at: now)
    }

    /// Until when a host that rebooted in vain builds on before it tries again.
    private func pauseEnd(after record: RebootRecord) -> MonitorInstant {
        var pause = settings.vainRebootPause
        for _ in 1..<max(2, record.count) where record.count > 1 && pause < settings.vainRebootPauseLimit {
            pause = pause * 2
        }
        return .start.advanced(by: min(pause, settings.vainRebootPauseLimit))
    }

    /// Books an answer, or the want of one, which is mailed once it has lasted.
    private mutating func answered(
        _ watch: inout WatchState,
        _ result: Result<Void, Trouble>,
        at now: MonitorInstant
    ) -> [MonitorEffect] {
        watch.isPolling = false
        // A tenth of the interval is random, so that the hosts of a farm spread out.
        let spread = settings.pollInterval / 10
        watch.nextPoll = now.advanced(by: settings.pollInterval - spread + generator.duration(upTo: spread * 2))
        switch result {
        case .success:
            watch.lastAnswer = now
            watch.failingSince = nil
            watch.trouble = nil
            resolve([.watch], watch.url.description)
            return []
        case .failure(let trouble):
            let since = watch.failingSince ?? now
            watch.failingSince = since
            watch.trouble = trouble
            guard since.duration(to: now) >= settings.watchPatience else { return [] }
            return mail(
                Trouble(.watch, watch.url.description, cause: trouble.cause, remedy: trouble.remedy),
                at: now,
                consequence: "There has been none for \(since.duration(to: now).inWords). "
                    + "The host runs on, but sees no change."
            )
        }
    }
}
