import ArgumentParser
import BuildOSKit
import Glibc

/// Where the agents of this host say what they do, and are told what to.
struct AgentFileOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Where the host's state is.", valueName: "directory"))
    var directory = StatusFile.standard.removingLastComponent().string

    var request: FilePath { FilePath(directory).appending("drain.json") }
    var agents: [AgentStatus] { AgentStatus.all(in: FilePath(directory).appending("agents")) }
}

/// `buildosctl drain`
struct DrainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain",
        abstract: "Have this host's agents end what they build, and take nothing new.",
        discussion: """
            On the host, as user build: ssh build@host buildosctl drain --wait --note 'new disk'. It holds for agents that start \
            later too, until 'buildosctl resume' or a reboot. With --wait, ends when nothing is built any more; with 75 if \
            that takes longer than --timeout. Agents that come with a toolchain (bbot) know no such request: it is said where \
            a host has some.
            """
    )

    @Option(help: ArgumentHelp("Why, for who looks at the host's status.", valueName: "text"))
    var note = "by an operator"
    @Flag(help: "Wait until nothing is built any more.")
    var wait = false
    @Option(help: ArgumentHelp("Wait no longer than this.", valueName: "seconds"))
    var timeout: Int?
    @OptionGroup var files: AgentFileOptions
    @OptionGroup var format: FormatOptions

    func validate() throws {
        if let timeout, timeout < 0 { throw ValidationError("--timeout \(timeout): expected 0 or more seconds") }
        if timeout != nil, !wait { throw ValidationError("--timeout is of no use without --wait") }
        guard !note.contains(where: \.isNewline) else { throw ValidationError("--note: expected one line") }
    }

    private struct Answer: Encodable {
        let request: DrainRequest
        let isDrained: Bool
        let agents: [AgentStatus]
    }

    func run() async throws {
        let request = DrainRequest(note: note)
        try request.write(to: files.request)
        tellOfOthers()
        if wait { try await cancelledByInterrupt { try await waitUntilIdle() } }
        let agents = files.agents
        let busy = agents.filter(\.isAtWork)
        switch format.format {
        case .json: try format.printJSON(Answer(request: request, isDrained: busy.isEmpty, agents: agents))
        case .text:
            for agent in busy { print("\(Self.name(agent)) still works: \(agent.summary)") }
            print(
                busy.isEmpty
                    ? "nothing is built, and nothing will be until 'buildosctl resume'" : "nothing new is begun"
            )
        }
        if wait, !busy.isEmpty { throw ExitCode(75) }
    }

    private func tellOfOthers() {
        let status = try? StatusFile.read(FilePath(files.directory).appending("status.json"))
        let others = status?.toolchains.filter { $0.agent == AgentKind.bbot.rawValue && !$0.agents.isEmpty } ?? []
        for toolchain in others {
            let units = toolchain.agents.map(\.unit).joined(separator: " ")
            Messages.tell(
                "toolchain \(toolchain.name): its own agents take no such request; 'sudo systemctl stop \(units)' ends them "
                    + "with what they build"
            )
        }
    }

    private func waitUntilIdle() async throws {
        let clock = ContinuousClock()
        let end = timeout.map { clock.now + .seconds($0) }
        var told: [String] = []
        while true {
            // An agent that has just taken a task may not have said so yet: it looks at the request every two seconds.
            let busy = files.agents.filter {
                $0.isAtWork || $0.activity == .asking && FileTree.exists(FilePath("/proc/\($0.processId)"))
            }
            if busy.isEmpty { return }
            let now = busy.map { "\(Self.name($0)) \($0.summary)" }
            if now != told, format.format == .text { Messages.tell("waiting for " + now.joined(separator: "; ")) }
            told = now
            if let end, clock.now >= end { return }
            try await Task.sleep(for: .milliseconds(500))
        }
    }

    private static func name(_ agent: AgentStatus) -> String { "\(agent.toolchain)-\(agent.instance)" }
}

/// `buildosctl resume`
struct ResumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume",
        abstract: "Have this host's agents take tasks again.",
        discussion: "Takes back what 'buildosctl drain' asked for; without such a request, nothing is done."
    )

    @OptionGroup var files: AgentFileOptions

    func run() async throws {
        let request = DrainRequest.current(files.request)
        guard let request else { return print("nobody has asked for a drain") }
        guard request.by == .operator else {
            throw MachineError(
                .busy,
                "the drain",
                cause: "the host's monitor asked for it, and will end it: \(request.note)",
                remedy: "see 'buildosctl status'"
            )
        }
        try DrainRequest.remove(files.request)
        print("tasks are taken again")
    }
}
