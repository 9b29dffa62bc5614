/// Agents as systemd services (TOOL-7): started and stopped by `buildosd privileged`, looked at by `systemctl show`.
public struct SystemdAgents: AgentControlling {
    private let transport: any Transport
    private let privileged: PrivilegedRunner
    private let environmentDirectory: FilePath
    private let drainRequest: FilePath
    private let obstacle: Trouble?

    /// Creates a controller of this host's agents.
    ///
    /// - Parameters:
    ///   - environmentDirectory: where the files are that units read a toolchain's version and id from.
    ///   - drainRequest: where agents look for the request to take nothing new.
    ///   - obstacle: why agents can't be started on this host at all.
    public init(
        transport: any Transport,
        privileged: PrivilegedRunner,
        environmentDirectory: FilePath = AgentUnit.environmentDirectory,
        drainRequest: FilePath = DrainRequest.standard,
        obstacle: Trouble? = nil
    ) {
        self.transport = transport
        self.privileged = privileged
        self.environmentDirectory = environmentDirectory
        self.drainRequest = drainRequest
        self.obstacle = obstacle
    }

    public func start(_ toolchain: Toolchain, _ synced: SyncedToolchain, _ kind: AgentKind) async throws {
        if let obstacle { throw obstacle }
        try FileTree.makeDirectory(environmentDirectory)
        try FileTree.write(
            "BUILDOS_TOOLCHAIN_VERSION=\(synced.version)\nBUILDOS_TOOLCHAIN_ID=\(synced.id)\n",
            to: environmentDirectory.appending("\(toolchain.name).env")
        )
        try await forEachInstance(of: toolchain) { .startAgent(kind, toolchain.name, instance: $0) }
    }

    public func stop(_ toolchain: Toolchain) async throws {
        try await forEachInstance(of: toolchain) { .stopAgent(toolchain.name, instance: $0) }
    }

    public func drain(reason: String) async throws {
        // An operator's request goes on to hold, with its own words.
        guard DrainRequest.current(drainRequest) == nil else { return }
        try DrainRequest(note: reason, by: .monitor).write(to: drainRequest)
    }

    public func endDrain() async throws {
        if DrainRequest.current(drainRequest)?.by == .monitor { try DrainRequest.remove(drainRequest) }
    }

    /// Of an instance that may be of either kind, the unit that isn't at rest is shown.
    public func units(of toolchains: [Toolchain]) async throws -> [ToolchainName: [AgentUnitState]] {
        let units = toolchains.flatMap { toolchain in
            toolchain.possibleAgents.flatMap { kind in
                (1...toolchain.instances).map { AgentUnit(toolchain, instance: $0, kind: kind) }
            }
        }
        guard !units.isEmpty else { return [:] }
        let properties = "Id,ActiveState,SubState,NRestarts,Nice,CPUAffinity"
        let result = try await transport.check(
            Command("systemctl", ["show", "--no-pager", "--property=\(properties)"] + units.map(\.name)),
            timeLimit: .seconds(30)
        )
        let shown = SystemdProperties.parse(result.outputText)
        var states: [ToolchainName: [AgentUnitState]] = [:]
        for unit in units {
            guard let state = shown.lazy.compactMap({ AgentUnitState(unit, $0) }).first else { continue }
            var seen = states[unit.toolchain.name] ?? []
            if let index = seen.firstIndex(where: { $0.instance == unit.instance }) {
                if seen[index].activeState == "inactive" { seen[index] = state }
            } else {
                seen.append(state)
            }
            states[unit.toolchain.name] = seen
        }
        return states
    }

    /// Does the same to each instance; one that fails does not keep the others from their turn.
    private func forEachInstance(
        of toolchain: Toolchain,
        _ request: (Int) -> PrivilegedRequest
    ) async throws {
        var causes: [String] = []
        for instance in 1...toolchain.instances {
            do { try await privileged.run(request(instance)) } catch { causes.append("\(error)") }
        }
        guard causes.isEmpty else {
            throw Trouble(.agents, "toolchain \(toolchain.name)", cause: causes.joined(separator: "; "))
        }
    }
}

extension AgentUnitState {
    /// - Parameter properties: those of one unit; `nil` is returned if it is another.
    fileprivate init?(_ unit: AgentUnit, _ properties: [String: String]) {
        guard properties["Id"] == unit.name, let active = properties["ActiveState"] else { return nil }
        let affinity = properties["CPUAffinity"] ?? ""
        self.init(
            instance: unit.instance,
            unit: unit.name,
            activeState: active,
            subState: properties["SubState"] ?? "",
            restarts: properties["NRestarts"].flatMap { Int($0) } ?? 0,
            nice: properties["Nice"].flatMap { Int($0) },
            cpuAffinity: affinity.isEmpty ? nil : affinity
        )
    }
}

/// What `systemctl show` prints.
enum SystemdProperties {
    /// Reads blocks of `<name>=<value>` lines with an empty line between them.
    static func parse(_ text: String) -> [[String: String]] {
        var blocks: [[String: String]] = [[:]]
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            guard let mark = line.firstIndex(of: "=") else {
                if blocks.last?.isEmpty == false { blocks.append([:]) }
                continue
            }
            blocks[blocks.count - 1][String(line[..<mark])] = String(line[mark...].dropFirst())
        }
        return blocks.filter { !$0.isEmpty }
    }
}
