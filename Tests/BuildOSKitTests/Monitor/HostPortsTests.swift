import BuildOSKit
import Synchronization
import TestSupport
import Testing

/// Not a transport: notes commands and answers from a table.
private final class PretendTransport: Transport {
    let backendName = "pretend"
    let capabilities = TransportCapabilities(remote: false)
    private let answer: @Sendable (Command) -> (Int32, String)
    private let state = Mutex<[(Command, String)]>([])

    init(_ answer: @escaping @Sendable (Command) -> (Int32, String) = { _ in (0, "") }) { self.answer = answer }

    var commands: [Command] { state.withLock { $0.map(\.0) } }
    var inputs: [String] { state.withLock { $0.map(\.1) } }

    func run(
        _ command: Command,
        input: CommandInput,
        output: CommandOutput,
        error: CommandOutput,
        timeLimit: Duration?
    ) async throws(TransportError) -> CommandResult {
        var text = ""
        if case .bytes(let bytes) = input { text = String(decoding: bytes, as: UTF8.self) }
        state.withLock { $0.append((command, text)) }
        let (status, printed) = answer(command)
        return CommandResult(status: .exited(status), output: Array(printed.utf8))
    }
}

extension PretendTransport {
    func upload(
        _ file: FilePath,
        to destination: FilePath,
        permissions: FilePermissions,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(TransportError) { throw TransportError(.unsupported, subject: file.string) }

    func download(
        _ file: FilePath,
        to destination: FilePath,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(TransportError) { throw TransportError(.unsupported, subject: file.string) }
}

@Suite("Monitor: this host's ports") struct HostPortsTests {
    private let toolchain: Toolchain
    init() throws {
        toolchain = Toolchain(url: try ResourceURL("https://example.org/toolchain.sha256"), instances: 2)
    }

    @Test("TOOL-7: every instance is started by root, after the file with version and id is there")
    func start() async throws {
        try await withTemporaryDirectory { directory in
            let transport = PretendTransport()
            let agents = SystemdAgents(
                transport: transport,
                privileged: PrivilegedRunner(transport: transport),
                environmentDirectory: directory.appending("agents")
            )
            try await agents.start(toolchain, .old, .builtin)
            #expect(
                transport.commands
                    == [1, 2].map {
                        Command(
                            "sudo",
                            ["-n", "/usr/bin/buildosd", "privileged", "agents", "start", "builtin", "default", "\($0)"]
                        )
                    }
            )
            #expect(
                try FileTree.readText(directory.appending("agents/default.env"))
                    == "BUILDOS_TOOLCHAIN_VERSION=0.17.0\nBUILDOS_TOOLCHAIN_ID=aa11\n"
            )
        }
    }

    @Test("TOOL-7: an instance that can't be started doesn't keep the others from it, and is named")
    func startFails() async throws {
        try await withTemporaryDirectory { directory in
            let transport = PretendTransport { ($0.arguments.last == "1" ? 1 : 0, "") }
            let agents = SystemdAgents(
                transport: transport,
                privileged: PrivilegedRunner(transport: transport),
                environmentDirectory: directory
            )
            let trouble = await #expect(throws: Trouble.self) { try await agents.start(toolchain, .old, .builtin) }
            #expect(trouble?.cause.contains("start builtin default 1") == true)
            #expect(transport.commands.count == 2)
        }
    }

    @Test("RES-4: where CPUs and RAM can't be shared out, agents are not started, for that reason")
    func obstacle() async throws {
        let transport = PretendTransport()
        let obstacle = Trouble(.agents, "CPUs and RAM", cause: "too little")
        let agents = SystemdAgents(
            transport: transport,
            privileged: PrivilegedRunner(transport: transport),
            obstacle: obstacle
        )
        await #expect(throws: obstacle) { try await agents.start(toolchain, .old, .builtin) }
        #expect(transport.commands.isEmpty)
    }

    @Test("TOOL-7: the units' state is read from what systemctl shows")
    func units() async throws {
        let transport = PretendTransport { _ in
            (
                0,
                """
                Id=bbot-agent@default-1.service
                Nice=5
                CPUAffinity=0 1
                NRestarts=3
                ActiveState=active
                SubState=running

                Id=bbot-agent@default-2.service
                Nice=5
                CPUAffinity=
                NRestarts=0
                ActiveState=activating
                SubState=auto-restart

                """
            )
        }
        let agents = SystemdAgents(transport: transport, privileged: PrivilegedRunner(transport: transport))
        let units = try await agents.units(of: [toolchain])
        #expect(
            units == [
                .default: [
                    AgentUnitState(
                        instance: 1,
                        unit: "bbot-agent@default-1.service",
                        activeState: "active",
                        subState: "running",
                        restarts: 3,
                        nice: 5,
                        cpuAffinity: "0 1"
                    ),
                    AgentUnitState(
                        instance: 2,
                        unit: "bbot-agent@default-2.service",
                        activeState: "activating",
                        subState: "auto-restart",
                        nice: 5
                    ),
                ]
            ]
        )
        #expect(try await agents.units(of: []).isEmpty)
    }

    @Test("TOOL-7: where an instance may be of either kind, the unit that isn't at rest is shown")
    func unitsOfEither() async throws {
        let transport = PretendTransport { command in
            let blocks = command.arguments.filter { $0.hasSuffix(".service") }.map {
                "Id=\($0)\nActiveState=\($0.hasPrefix("buildos") ? "failed" : "inactive")\n"
            }
            return (0, blocks.joined(separator: "\n"))
        }
        let agents = SystemdAgents(transport: transport, privileged: PrivilegedRunner(transport: transport))
        let units = try await agents.units(of: [toolchain])[.default]
        #expect(units?.map(\.unit) == ["buildos-agent@default-1.service", "buildos-agent@default-2.service"])
        #expect(units?.map(\.activeState) == ["failed", "failed"])
    }

    @Test("BOOT-11: the monitor asks agents to drain, and takes back its own request alone")
    func drain() async throws {
        try await withTemporaryDirectory { directory in
            let file = directory.appending("drain.json")
            let transport = PretendTransport()
            let agents = SystemdAgents(
                transport: transport,
                privileged: PrivilegedRunner(transport: transport),
                drainRequest: file
            )
            try await agents.endDrain()
            try await agents.drain(reason: "the host is to reboot")
            #expect(DrainRequest.current(file)?.note == "the host is to reboot")
            try await agents.endDrain()
            #expect(DrainRequest.current(file) == nil)

            try DrainRequest(note: "new disk").write(to: file)
            try await agents.drain(reason: "the host is to reboot")
            try await agents.endDrain()
            #expect(DrainRequest.current(file)?.note == "new disk")
            try FileTree.write("{", to: file)
            #expect(DrainRequest.current(file) != nil)
        }
    }

    @Test("MAIL-2: a message goes to sendmail by its standard input; no part of it is an argument")
    func mail() async throws {
        let transport = PretendTransport { _ in (0, "Mail queue is empty\n") }
        let mailer = SendmailMailer(transport: transport)
        try await mailer.send("To: root\n\n-f evil\n.\n")
        await mailer.flush()
        #expect(transport.commands.first == Command("/usr/sbin/sendmail", ["-t", "-i"]))
        #expect(transport.inputs.first == "To: root\n\n-f evil\n.\n")
        #expect(transport.commands.count == 3)
    }

    @Test("MACH-6: what root cleaned comes back as a report; garbage does not pass for one")
    func clean() async throws {
        let good = PretendTransport { _ in (0, "{\"removed\":[\"/a\"],\"problems\":[]}\n") }
        let machines = HostMachines(privileged: PrivilegedRunner(transport: good))
        #expect(try await machines.clean() == MachineCleaningReport(removed: ["/a"]))
        let bad = HostMachines(privileged: PrivilegedRunner(transport: PretendTransport { _ in (0, "sudo: hello") }))
        await #expect(throws: (any Error).self) { try await bad.clean() }
    }
}
