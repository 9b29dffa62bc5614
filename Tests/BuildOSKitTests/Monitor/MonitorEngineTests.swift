import BuildOSKit
import TestSupport
import Testing

@Suite("Monitor: engine", .timeLimit(.minutes(1))) struct MonitorEngineTests {
    /// Runs an engine while the body drives its clock; the engine has ended when this returns.
    private func withEngine(
        _ settings: MonitorSettings,
        _ host: PretendHost,
        reports: [Trouble] = [],
        _ body: @escaping @Sendable (TestClock) async throws -> Void
    ) async throws {
        let clock = TestClock()
        let engine = MonitorEngine(
            machine: MonitorMachine(settings, seed: 7),
            ports: host.ports,
            context: StatusContext(host: "build-1", processID: 42),
            clock: clock,
            wallClock: { Timestamp(seconds: 1_763_877_600).advanced(by: clock.now.offset) },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await engine.run(reports: reports) }
            try await body(clock)
            group.cancelAll()
        }
    }

    /// Moves the clock from one sleeper to the next until a call was made.
    private func run(_ clock: TestClock, _ host: PretendHost, until call: String, times: Int = 1) async {
        await withTaskGroup { group in
            group.addTask { await host.wait(for: call, times: times) }
            group.addTask {
                while !Task.isCancelled {
                    await clock.advanceToNextSleeper()
                    for _ in 0..<50 { await Task.yield() }
                }
            }
            await group.next()
            group.cancelAll()
        }
    }

    @Test("TOOL-5, TOOL-7: from start to running agents without any time passing")
    func bringUp() async throws {
        let host = PretendHost()
        try await withEngine(try .example(.first), host) { clock in
            await host.wait(for: "start default")
            #expect(clock.now.offset == .zero)
        }
        let order = host.calls.filter { !["units", "buildid"].contains($0) && !$0.hasPrefix("checksums") }
        #expect(order == ["end drain", "clean", "sync default", "bootstrap default", "start default"])
        let last = try #require(host.statuses.last)
        #expect(last.state == "stopped")
        #expect(last.host == "build-1")
    }

    @Test("TOOL-5, TOOL-7: a toolchain whose own agent can't be had gets builtin ones, and the status says why")
    func builtin() async throws {
        var script = PretendHost.Script()
        script.agent = AgentChoice(.builtin, because: "its own can't be built")
        let host = PretendHost(script)
        try await withEngine(try .example(.first), host) { _ in await host.wait(for: "start default builtin") }
        let shown = try #require(host.statuses.last?.toolchains.first)
        #expect(shown.agent == "builtin" && shown.agentReason == "its own can't be built")
    }

    @Test("TOOL-5, TOOL-6, MAIL-2: a bootstrap that fails is mailed and retried while the other toolchain runs")
    func independence() async throws {
        let other = try ToolchainName.named("other")
        var script = PretendHost.Script()
        script.bootstrapFailures = [.first: 2]
        let host = PretendHost(script)
        try await withEngine(try .example(.first, other), host) { clock in
            await host.wait(for: "start other")
            await run(clock, host, until: "start default")
        }
        let calls = host.calls
        #expect(calls.filter { $0 == "bootstrap default" }.count == 3)
        #expect(calls.filter { $0.hasPrefix("mail") } == ["mail [build-1] toolchain default can't be bootstrapped"])
        #expect(!calls.contains { $0.hasPrefix("stop") || $0.hasPrefix("reboot") })
    }

    @Test("TOOL-5: a bootstrap that hangs is ended with the monitor, and doesn't keep it from rebooting (BOOT-8)")
    func hangingBootstrap() async throws {
        var script = PretendHost.Script()
        script.hangsInBootstrap = [.first]
        script.buildID = BuildID("20251124-bbbbbbbb")
        let host = PretendHost(script)
        try await withEngine(try .example(.first), host) { clock in
            await run(clock, host, until: "reboot firmware")
        }
        #expect(host.calls.last == "bootstrap default ended")
    }

    @Test("BOOT-8, BOOT-11, MAIL-2: another build id: drain, stop, delay, mail, reboot, in that order")
    func osChange() async throws {
        let host = PretendHost()
        try await withEngine(try .example(.first), host) { clock in
            await host.wait(for: "start default")
            host.change {
                $0.buildID = BuildID("20251124-bbbbbbbb")
                $0.inUse = [MachineInUse(snapshot: "m-default-x", toolchain: .default)]
            }
            await run(clock, host, until: "in use", times: 3)
            #expect(!host.calls.contains("stop default"))
            #expect(host.statuses.last?.state == "draining")
            #expect(host.calls.contains("drain"))
            host.change { $0.inUse = [] }
            await run(clock, host, until: "reboot firmware")
        }
        let tail = host.calls.suffix(while: { !$0.hasPrefix("in use") })
        #expect(
            tail == [
                "stop default", "note 20251124-bbbbbbbb", "mail [build-1] reboot for an update", "flush",
                "reboot firmware",
            ]
        )
    }

    @Test("BOOT-9: changed files are verified first; broken ones are mailed about and never rebooted for")
    func toolchainChange() async throws {
        let host = PretendHost()
        try await withEngine(try .example(.first), host) { clock in
            await host.wait(for: "start default")
            host.change {
                $0.checksums = SyncedToolchain.new.checksums
                $0.verified = [.refused(corrupt, checksums: nil), .refused(corrupt, checksums: nil), .ready(.new)]
            }
            await run(clock, host, until: "verify default", times: 2)
            #expect(!host.calls.contains { $0.hasPrefix("reboot") || $0.hasPrefix("stop") })
            await run(clock, host, until: "reboot firmware")
        }
        #expect(
            host.calls.filter { $0.hasPrefix("mail") } == [
                "mail [build-1] toolchain default can't be updated", "mail [build-1] reboot for an update",
            ]
        )
    }

    @Test("Agents left by an earlier monitor are stopped before machine directories are cleaned (MACH-6)")
    func leftBehind() async throws {
        var script = PretendHost.Script()
        script.unitsLeftBehind = true
        let host = PretendHost(script)
        try await withEngine(try .example(.first), host) { _ in await host.wait(for: "start default") }
        #expect(host.calls.prefix(4) == ["units", "stop default", "end drain", "clean"])
    }

    @Test(
        "MAIL-2: a mail that can't be handed over is tried again, and the status says so if it never works",
        arguments: [(2, "handed over"), (100, "never")]
    )
    func mailRetry(failures: Int, outcome: String) async throws {
        var script = PretendHost.Script()
        script.mailFailures = failures
        let host = PretendHost(script)
        let report = Trouble(.host, "state disk", cause: "it is full")
        let tries = min(failures + 1, 5)
        try await withEngine(try .example(.first), host, reports: [report]) { clock in
            await run(clock, host, until: "mail [build-1] trouble while booting", times: tries)
        }
        let mail = try #require(host.statuses.last?.mails.first)
        #expect((mail.problem == nil) == (outcome == "handed over"))
        #expect(host.calls.filter { $0.hasPrefix("mail") }.count == tries)
    }

    @Test("A reboot that is refused is asked for again")
    func rebootRetry() async throws {
        var script = PretendHost.Script()
        script.buildID = BuildID("20251124-bbbbbbbb")
        script.rebootFailures = 2
        let host = PretendHost(script)
        try await withEngine(try .example(.first), host) { clock in
            await run(clock, host, until: "reboot firmware", times: 3)
        }
        #expect(host.calls.contains("mail [build-1] the host can't reboot as asked"))
    }

    @Test("The status is written anew as a sign of life, even if nothing happens and even after it couldn't be written")
    func heartbeat() async throws {
        var script = PretendHost.Script()
        script.diskIsFull = true
        let host = PretendHost(script)
        var settings = MonitorSettings()
        settings.toolchains = []
        try await withEngine(settings, host) { clock in
            await host.wait(for: "clean")
            for _ in 0..<10 {
                await clock.advanceToNextSleeper()
                for _ in 0..<20 { await Task.yield() }
            }
            host.change { $0.diskIsFull = false }
        }
        let times = host.statuses.map(\.writtenAt)
        #expect(times == times.sorted())
        #expect(Set(times).count >= 10)
        #expect(host.statuses.contains { $0.waitingFor == ["no toolchain is configured: give buildos.toolchain_url"] })
    }
}

extension Array<String> {
    fileprivate func suffix(while condition: (String) -> Bool) -> [String] {
        Array(reversed().prefix(while: condition).reversed())
    }
}
