import BuildOSKit
import Synchronization

/// Not a host: plays all parts that a monitor works with, as a test tells it to, and notes what it was asked.
final class PretendHost: ToolchainPreparing, ChangeWatching, AgentControlling, MachineKeeping, MailSending,
    HostControlling, StatusPublishing
{
    struct Script {
        var synced: [ToolchainName: [ToolchainSyncOutcome]] = [:]
        var verified: [ToolchainSyncOutcome] = []
        var bootstrapFailures: [ToolchainName: Int] = [:]
        var agent = AgentChoice.own
        var hangsInBootstrap: Set<ToolchainName> = []
        var checksums: Digest = SyncedToolchain.old.checksums
        var buildID: BuildID? = BuildID("20251123-aaaaaaaa")
        var inUse: [MachineInUse] = []
        var cleaned = MachineCleaningReport()
        var mailFailures = 0
        var rebootFailures = 0
        var unitsLeftBehind = false
        var diskIsFull = false
    }

    private struct State {
        var script: Script
        var calls: [String] = []
        var statuses: [HostStatus] = []
        var up: Set<ToolchainName> = []
        var watchers:
            [(id: Int, condition: @Sendable ([String]) -> Bool, continuation: CheckedContinuation<Void, Never>)] = []
    }

    private let state: Mutex<State>

    init(_ script: Script = Script()) { state = Mutex(State(script: script)) }

    var ports: MonitorPorts {
        MonitorPorts(
            toolchains: self,
            changes: self,
            agents: self,
            machines: self,
            mail: self,
            host: self,
            status: self
        )
    }

    var calls: [String] { state.withLock { $0.calls } }
    var statuses: [HostStatus] { state.withLock { $0.statuses } }
    func change(_ body: @Sendable (inout Script) -> Void) { state.withLock { body(&$0.script) } }

    /// Waits until what was asked so far satisfies a condition.
    func wait(until condition: @escaping @Sendable ([String]) -> Bool) async {
        await withCheckedContinuation { continuation in
            let isMet = state.withLock { state in
                if condition(state.calls) { return true }
                state.watchers.append((0, condition, continuation))
                return false
            }
            if isMet { continuation.resume() }
        }
    }

    /// Waits until a call was made.
    func wait(for call: String, times: Int = 1) async {
        await wait { $0.filter { $0 == call }.count >= times }
    }

    private func note<Value>(_ call: String, _ body: (inout State) throws -> Value) rethrows -> Value {
        var met: [CheckedContinuation<Void, Never>] = []
        defer { met.forEach { $0.resume() } }
        return try state.withLock { state in
            state.calls.append(call)
            let calls = state.calls
            met = state.watchers.filter { $0.condition(calls) }.map(\.continuation)
            state.watchers.removeAll { $0.condition(calls) }
            return try body(&state)
        }
    }

    func sync(_ toolchain: Toolchain) async -> ToolchainSyncOutcome {
        note("sync \(toolchain.name)") { state in
            var outcomes = state.script.synced[toolchain.name] ?? []
            let outcome = outcomes.isEmpty ? .ready(.old) : outcomes.removeFirst()
            state.script.synced[toolchain.name] = outcomes
            return outcome
        }
    }

    func verify(_ toolchain: Toolchain) async -> ToolchainSyncOutcome {
        note("verify \(toolchain.name)") { state in
            state.script.verified.isEmpty ? .ready(.new) : state.script.verified.removeFirst()
        }
    }

    func bootstrap(_ toolchain: Toolchain, _ synced: SyncedToolchain) async throws -> AgentChoice {
        let (hangs, fails) = note("bootstrap \(toolchain.name)") { state in
            let failures = state.script.bootstrapFailures[toolchain.name] ?? 0
            state.script.bootstrapFailures[toolchain.name] = max(0, failures - 1)
            return (state.script.hangsInBootstrap.contains(toolchain.name), failures > 0)
        }
        if hangs {
            do { try await Task.sleep(for: .seconds(1_000_000)) } catch {
                note("bootstrap \(toolchain.name) ended") { _ in }
                throw error
            }
        }
        if fails { throw Trouble(.toolchainBootstrap, "toolchain \(toolchain.name)", cause: "build.sh: exit status 1") }
        return state.withLock { $0.script.agent }
    }

    func checksums(of toolchain: Toolchain) async throws -> Digest {
        note("checksums \(toolchain.name)") { $0.script.checksums }
    }

    func buildID(at url: ResourceURL) async throws -> BuildID {
        try note("buildid") { state in
            guard let id = state.script.buildID else {
                throw FetchError(.notFound, url: url, detail: "HTTP status 404")
            }
            return id
        }
    }

    func fetchKernel(beside url: ResourceURL) async throws -> RebootRequest {
        note("kernel") { _ in .kexec(kernel: "/k", initrd: "/i") }
    }

    func start(_ toolchain: Toolchain, _ synced: SyncedToolchain, _ kind: AgentKind) async throws {
        note("start \(toolchain.name)" + (kind == .bbot ? "" : " \(kind)")) { _ = $0.up.insert(toolchain.name) }
    }

    func stop(_ toolchain: Toolchain) async throws {
        note("stop \(toolchain.name)") { state in
            state.up.remove(toolchain.name)
            state.script.unitsLeftBehind = false
        }
    }

    func units(of toolchains: [Toolchain]) async throws -> [ToolchainName: [AgentUnitState]] {
        note("units") { state in
            var units: [ToolchainName: [AgentUnitState]] = [:]
            for toolchain in toolchains {
                let isUp = state.up.contains(toolchain.name) || state.script.unitsLeftBehind
                units[toolchain.name] = (1...toolchain.instances).map {
                    AgentUnitState(
                        instance: $0,
                        unit: AgentUnit(toolchain, instance: $0, kind: .bbot).name,
                        activeState: isUp ? "active" : "inactive",
                        subState: isUp ? "running" : "dead"
                    )
                }
            }
            return units
        }
    }

    func drain(reason: String) async throws { note("drain") { _ in } }

    func endDrain() async throws { note("end drain") { _ in } }

    func clean() async throws -> MachineCleaningReport { note("clean") { $0.script.cleaned } }

    func inUse() async throws -> [MachineInUse] { note("in use") { $0.script.inUse } }

    func send(_ message: String) async throws {
        let subject = message.split(separator: "\n").first { $0.hasPrefix("Subject: ") }?.dropFirst(9) ?? "?"
        try note("mail \(subject)") { state in
            guard state.script.mailFailures == 0 else {
                state.script.mailFailures -= 1
                throw TransportError(.commandNotFound, command: Command("/usr/sbin/sendmail"))
            }
        }
    }

    func flush() async { note("flush") { _ in } }

    func reboot(_ request: RebootRequest) async throws {
        try note("reboot \(request == .firmware ? "firmware" : "kexec")") { state in
            guard state.script.rebootFailures == 0 else {
                state.script.rebootFailures -= 1
                throw TransportError(.commandNotFound, command: Command("sudo"))
            }
        }
    }

    func note(rebootFor id: BuildID) async throws { note("note \(id)") { _ in } }

    func publish(_ status: HostStatus) throws {
        try state.withLock { state in
            state.statuses.append(status)
            if state.script.diskIsFull { throw FileError("write", "/run/buildos/status.json", .noSpace) }
        }
    }
}
