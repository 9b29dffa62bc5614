extension MonitorPorts {
    /// Does what an effect says, and gives back the event that tells how it went. Mail is the engine's own affair.
    func perform(_ effect: MonitorEffect, toolchains all: [Toolchain]) async -> MonitorEvent? {
        switch effect {
        case .prepare: return .prepared(await prepare(all))
        case .sync(let toolchain): return .synced(toolchain.name, await toolchains.sync(toolchain))
        case .verifyUpdate(let toolchain): return .updateVerified(toolchain.name, await toolchains.verify(toolchain))
        case .bootstrap(let toolchain, let synced):
            let result = await result(.toolchainBootstrap, "toolchain \(toolchain.name)") {
                try await toolchains.bootstrap(toolchain, synced)
            }
            return .bootstrapped(toolchain.name, result)
        case .startAgents(let toolchain, let synced, let kind):
            let trouble = await attempt(.agents, toolchain) { try await agents.start(toolchain, synced, kind) }
            return .agentsStarted(toolchain.name, trouble)
        case .stopAgents(let toolchain):
            let trouble = await attempt(.agents, toolchain) { try await agents.stop(toolchain) }
            return .agentsStopped(toolchain.name, trouble)
        case .drainAgents(let reason):
            // Without it agents are stopped all the same, once they are seen idle.
            try? await agents.drain(reason: reason)
            return nil
        case .lookAtAgents: return .agentsSeen((try? await agents.units(of: all)) ?? [:])
        case .lookAtChecksums(let toolchain):
            let result = await result(.watch, toolchain.url.description) {
                try await changes.checksums(of: toolchain)
            }
            return .checksumsSeen(toolchain.name, result)
        case .lookAtBuildID(let url):
            return .buildIDSeen(await result(.watch, url.description) { try await changes.buildID(at: url) })
        case .lookAtMachines:
            return .machinesInUse(await result(.storage, "machine directories") { try await machines.inUse() })
        case .fetchKernel(let url):
            return .kernelFetched(
                await result(.reboot, "reboot by kexec") { try await changes.fetchKernel(beside: url) }
            )
        case .reboot(let request):
            do {
                try await host.reboot(request)
                return nil
            } catch {
                return .rebootRefused(Trouble(.reboot, "reboot", from: error))
            }
        case .mail, .announce: return nil
        }
    }

    /// Agents that an earlier monitor left are stopped first: the host starts from a known state, and what they had
    /// in use is stray.
    private func prepare(_ all: [Toolchain]) async -> Result<MachineCleaningReport, Trouble> {
        let units = (try? await agents.units(of: all)) ?? [:]
        for toolchain in all {
            let isUp = units[toolchain.name, default: []].contains {
                $0.activeState != "inactive" && $0.activeState != "failed"
            }
            if isUp { try? await agents.stop(toolchain) }
        }
        try? await agents.endDrain()
        return await result(.storage, "machine directories") { try await machines.clean() }
    }

    private func attempt(
        _ kind: TroubleKind,
        _ toolchain: Toolchain,
        _ body: () async throws -> Void
    ) async -> Trouble? {
        do {
            try await body()
            return nil
        } catch {
            return Trouble(kind, "toolchain \(toolchain.name)", from: error)
        }
    }

    private func result<Value>(
        _ kind: TroubleKind,
        _ subject: String,
        _ body: () async throws -> Value
    ) async -> Result<Value, Trouble> {
        do { return .success(try await body()) } catch { return .failure(Trouble(kind, subject, from: error)) }
    }
}
