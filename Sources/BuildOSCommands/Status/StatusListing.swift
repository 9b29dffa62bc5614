import BuildOSKit

/// A status as people read it: no colours, labels in a column, times with how long ago they were.
struct StatusListing {
    let status: HostStatus
    let now: Timestamp

    /// Whether the monitor that wrote it must be taken for dead: it missed two signs of life.
    var isStale: Bool {
        status.state != "stopped"
            && status.writtenAt.duration(to: now) > .seconds(Int64(status.heartbeatSeconds) * 3)
    }

    var text: String {
        var lines: [String] = []
        if isStale {
            lines.append(
                "NO MONITOR RUNS: this was last written \(ago(status.writtenAt)). See 'systemctl status buildos'."
            )
        }
        if status.state == "stopped" { lines.append("NO MONITOR RUNS: it was stopped \(ago(status.since)).") }
        lines.append("\(status.host): \(status.state) since \(moment(status.since))")
        if let id = status.buildId { lines.append(row("build id", id)) }
        if let reason = status.reason { lines.append(row("reboots for", reason)) }
        if let until = status.until { lines.append(row("at the latest", moment(until))) }
        if let slice = status.slice {
            let build = MemorySize(kibibytes: slice.buildRamKiB)
            let auxiliary = MemorySize(kibibytes: slice.auxiliaryRamKiB)
            lines.append(
                row(
                    "an instance has",
                    "\(counted(slice.cpus, "CPU")), \(build) for builds, \(auxiliary) for auxiliary machines"
                )
            )
        }
        if let drain = status.drain {
            lines.append(row("draining", "since \(moment(drain.since)), for the \(drain.by.rawValue): \(drain.note)"))
        }
        lines += rows("waits for", status.waitingFor)
        lines += rows("builds running", status.inUse)
        lines += rows("trouble", status.troubles.map(\.description))
        lines += rows("configuration", status.configurationErrors)
        if let watch = status.buildIdWatch { lines += watchRows("build id at", watch) }
        for toolchain in status.toolchains { lines += [""] + section(toolchain) }
        if !status.mails.isEmpty {
            lines += ["", "mails"]
            lines += status.mails.map { "  \($0.at)  \($0.subject)" + ($0.problem.map { " (NOT SENT: \($0))" } ?? "") }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func section(_ toolchain: HostStatus.Toolchain) -> [String] {
        let version = toolchain.version.map { " \($0)" } ?? ""
        var lines = ["toolchain \(toolchain.name)\(version): \(toolchain.state) since \(moment(toolchain.since))"]
        if let id = toolchain.id { lines.append(row("id", id)) }
        lines += toolchain.failure.map(failureRows) ?? []
        if let update = toolchain.update { lines.append(row("newer files", update)) }
        lines += toolchain.updateFailure.map(failureRows) ?? []
        lines += watchRows("checksums at", toolchain.watch)
        let widest = toolchain.agents.map(\.unit.count).max() ?? 0
        lines += rows(
            "agents",
            toolchain.agents.map { agent in
                var parts = [agent.unit + String(repeating: " ", count: widest - agent.unit.count)]
                parts.append("\(agent.activeState) (\(agent.subState))")
                if let nice = agent.nice { parts.append("nice \(nice)") }
                if let cpus = agent.cpuAffinity { parts.append("CPUs \(cpus)") }
                if agent.restarts > 0 { parts.append("restarted \(counted(agent.restarts, "time"))") }
                return parts.joined(separator: "  ")
            }
        )
        if let agent = toolchain.agent {
            lines.append(row("which are", agent + (toolchain.agentReason.map { ", because \($0)" } ?? "")))
        }
        for agent in status.agents ?? [] where agent.toolchain == toolchain.name {
            lines += rows("instance \(agent.instance)", work(agent))
        }
        return lines
    }

    /// What a builtin agent does and has done.
    private func work(_ agent: AgentStatus) -> [String] {
        var lines = ["\(agent.summary), since \(moment(agent.since))"]
        if let last = agent.last {
            let counts = agent.results.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
            lines.append(
                "results: \(counts.joined(separator: ", ")); last \(last.name)/\(last.version), \(last.status), "
                    + moment(last.at)
            )
        }
        return lines + agent.problems
    }

    private func failureRows(_ failure: HostStatus.Failure) -> [String] {
        var lines = [row("failed", "\(failure.step), \(failure.failures == 1 ? "once" : "\(failure.failures) times")")]
        lines.append(row("cause", failure.cause))
        if let remedy = failure.remedy { lines.append(row("remedy", remedy)) }
        lines.append(row("next try", moment(failure.nextTry)))
        return lines
    }

    private func watchRows(_ label: String, _ watch: HostStatus.Watch) -> [String] {
        var lines = [row(label, watch.url)]
        if let since = watch.failingSince {
            lines.append(row("no answer", "since \(moment(since)): \(watch.problem ?? "no reason given")"))
        } else if let answer = watch.lastAnswer {
            lines.append(row("looked at", moment(answer)))
        }
        return lines
    }

    private func row(_ label: String, _ value: String) -> String {
        "  \(label)\(String(repeating: " ", count: max(1, 17 - label.count)))\(value)"
    }

    private func rows(_ label: String, _ values: [String]) -> [String] {
        values.enumerated().map { row($0 == 0 ? label : "", $1) }
    }

    private func moment(_ time: Timestamp) -> String { "\(time) (\(ago(time)))" }

    private func ago(_ time: Timestamp) -> String {
        let seconds = time.duration(to: now) / .seconds(1)
        return seconds >= 0 ? "\(words(seconds)) ago" : "in \(words(-seconds))"
    }

    private func words(_ seconds: Double) -> String {
        switch Int(seconds) {
        case let seconds where seconds < 120: "\(seconds) s"
        case let seconds where seconds < 7200: "\(seconds / 60) min"
        case let seconds where seconds < 48 * 3600: "\(seconds / 3600) h \(seconds % 3600 / 60) min"
        case let seconds: "\(seconds / 86400) days"
        }
    }
}
