import BuildOSKit
import Testing

@Suite("Monitor: toolchains") struct MonitorToolchainTests {
    @Test("MACH-6: machine directories are cleaned before anything else, agents least of all")
    func cleansFirst() throws {
        var driver = MachineDriver(try .example(.first))
        #expect(driver.send(.started(reports: [])) == [.prepare])
        #expect(driver.machine.phase == .starting)
        #expect(driver.machine.nextWake == nil)
        let effects = driver.send(.prepared(.success(MachineCleaningReport(removed: ["/x"], problems: []))))
        #expect(effects.contains(.sync(try driver.state(.first).toolchain)))
        #expect(driver.machine.phase == .running)
        #expect(driver.machine.cleaning?.removed == ["/x"])
    }

    @Test("MAIL-2: storage trouble found while cleaning is mailed, and the host goes on")
    func storageTrouble() throws {
        var driver = MachineDriver(try .example(.first))
        driver.send(.started(reports: []))
        let effects = driver.send(.prepared(.success(MachineCleaningReport(problems: ["/m/a: dangling link"]))))
        #expect(effects.mails == ["trouble with machine storage"])
        #expect(effects.contains(.sync(try driver.state(.first).toolchain)))
    }

    @Test("What the host's set-up reported is mailed once and kept for the status")
    func reports() throws {
        var driver = MachineDriver(try .example(.first))
        let report = Trouble(.host, "state disk", cause: "it is full")
        let effects = driver.send(.started(reports: [report]))
        #expect(effects.mails == ["trouble while booting"])
        #expect(driver.machine.hostTroubles == [report])
    }

    @Test("TOOL-5: a toolchain is fetched, bootstrapped, and then its agents are started")
    func course() throws {
        var driver = MachineDriver.running(try .example(.first))
        let toolchain = try driver.state(.first).toolchain
        #expect(driver.send(.synced(.first, .ready(.old))) == [.bootstrap(toolchain, .old)])
        #expect(driver.send(.bootstrapped(.first, .success(.own))) == [.startAgents(toolchain, .old, .bbot)])
        driver.send(.agentsStarted(.first, nil))
        #expect(try driver.state(.first).phase == .running(.old))
    }

    @Test("TOOL-6: all toolchains are fetched at once, and bootstrapped one after another in the order they got ready")
    func severalToolchains() throws {
        let (a, b, c) = (try ToolchainName.named("a"), try ToolchainName.named("b"), try ToolchainName.named("c"))
        var driver = MachineDriver(try .example(a, b, c))
        driver.send(.started(reports: []))
        let begun = driver.send(.prepared(.success(MachineCleaningReport())))
        #expect(begun.filter { if case .sync = $0 { true } else { false } }.count == 3)
        #expect(driver.send(.synced(c, .ready(.old))) == [.bootstrap(try driver.state(c).toolchain, .old)])
        driver.pass(.seconds(1))
        #expect(driver.send(.synced(b, .ready(.old))).isEmpty)
        driver.pass(.seconds(1))
        #expect(driver.send(.synced(a, .ready(.old))).isEmpty)
        #expect(try driver.state(a).phase == .queued(.old))
        let next = driver.send(.bootstrapped(c, .success(.own)))
        #expect(next.contains(.bootstrap(try driver.state(b).toolchain, .old)))
        #expect(next.contains(.startAgents(try driver.state(c).toolchain, .old, .bbot)))
    }

    @Test("TOOL-5, TOOL-6: a bootstrap that fails is mailed and retried, and the next toolchain is not held up")
    func failureIsIndependent() throws {
        let other = try ToolchainName.named("other")
        var driver = MachineDriver.running(try .example(.first, other))
        driver.send(.synced(.first, .ready(.old)))
        driver.send(.synced(other, .ready(.old)))
        let effects = driver.send(.bootstrapped(.first, .failure(broken)))
        #expect(effects.mails == ["toolchain default can't be bootstrapped"])
        #expect(effects.contains(.bootstrap(try driver.state(other).toolchain, .old)))
        driver.send(.bootstrapped(other, .success(.own)))
        driver.send(.agentsStarted(other, nil))
        #expect(try driver.state(other).phase == .running(.old))
        #expect(try driver.state(.first).phase.name == "failed")
        #expect(driver.machine.phase == .running)
    }

    @Test("TOOL-5: retries come later and later, never later than the limit, and never in step with other hosts")
    func backOff() throws {
        var settings = try MonitorSettings.example(.first)
        settings.buildIDURL = nil
        settings.pollInterval = .seconds(1_000_000)
        settings.agentCheckInterval = .seconds(1_000_000)
        var waits: [UInt64: [Duration]] = [:]
        for seed in [UInt64(1), 2] {
            var driver = MachineDriver.running(settings, seed: seed)
            driver.send(.checksumsSeen(.first, .failure(down)))
            for _ in 0..<12 {
                driver.send(.synced(.first, .failed(down, checksums: nil)))
                let failure = try #require(try driver.state(.first).phase.failure)
                waits[seed, default: []].append(driver.now.duration(to: failure.nextTry))
                let effects = driver.wake()
                #expect(effects.contains(.sync(try driver.state(.first).toolchain)))
            }
        }
        let first = try #require(waits[1])
        #expect(first[0] >= .seconds(22) && first[0] <= .seconds(30))
        for (index, wait) in first.enumerated() {
            let full = min(Duration.seconds(30) * (1 << index), .seconds(3600))
            #expect(wait <= full && wait >= full * 3 / 4)
        }
        #expect(waits[1] != waits[2])
    }

    @Test("MAIL-2: the same trouble is mailed once, again after a pause, and at once if it had passed in between")
    func mailPause() throws {
        var driver = MachineDriver.running(try .example(.first))
        #expect(driver.send(.synced(.first, .failed(down, checksums: nil))).mails.count == 1)
        while try driver.state(.first).phase != .syncing { driver.wake() }
        #expect(driver.send(.synced(.first, .failed(down, checksums: nil))).mails.isEmpty)
        while try driver.state(.first).phase != .syncing { driver.wake() }
        driver.pass(.seconds(6 * 3600))
        #expect(driver.send(.synced(.first, .failed(down, checksums: nil))).mails.count == 1)
        while try driver.state(.first).phase != .syncing { driver.wake() }
        driver.send(.synced(.first, .ready(.old)))
        driver.send(.bootstrapped(.first, .failure(broken)))
        while try driver.state(.first).phase != .syncing { driver.wake() }
        #expect(
            driver.send(.synced(.first, .failed(down, checksums: nil))).mails == ["toolchain default can't be fetched"]
        )
    }

    @Test("MAIL-2: another kind of trouble, or the same of another toolchain, is mailed on its own")
    func mailKinds() throws {
        let other = try ToolchainName.named("other")
        var driver = MachineDriver.running(try .example(.first, other))
        #expect(driver.send(.synced(.first, .failed(down, checksums: nil))).mails.count == 1)
        let same = Trouble(.toolchainFetch, "toolchain other", cause: "no route to host")
        #expect(driver.send(.synced(other, .failed(same, checksums: nil))).mails.count == 1)
        while try driver.state(.first).phase != .syncing { driver.wake() }
        #expect(driver.send(.synced(.first, .refused(corrupt, checksums: .of("1")))).mails.count == 1)
        #expect(try driver.state(.first).phase.name == "refused")
    }

    @Test("TOOL-1: a disabled toolchain runs nothing, and is brought up without a reboot once it no longer is")
    func disabled() throws {
        var driver = MachineDriver.running(try .example(.first))
        #expect(driver.send(.synced(.first, .disabled(.of("0")))).isEmpty)
        #expect(try driver.state(.first).phase == .disabled)
        #expect(driver.send(.checksumsSeen(.first, .success(.of("0")))).isEmpty)
        let effects = driver.send(.checksumsSeen(.first, .success(.of("1"))))
        #expect(effects == [.sync(try driver.state(.first).toolchain)])
        #expect(driver.machine.phase == .running)
    }

    @Test("BOOT-9: a toolchain that never ran is tried again at once when its checksums file changes; no reboot")
    func refusedAndChanged() throws {
        var driver = MachineDriver.running(try .example(.first))
        driver.send(.synced(.first, .refused(corrupt, checksums: .of("1"))))
        #expect(driver.send(.checksumsSeen(.first, .success(.of("1")))).isEmpty)
        let effects = driver.send(.checksumsSeen(.first, .success(.of("2"))))
        #expect(effects == [.sync(try driver.state(.first).toolchain)])
        #expect(driver.machine.phase == .running)
    }

    @Test("A toolchain whose server was down is tried again as soon as the server answers")
    func serverIsBack() throws {
        var driver = MachineDriver.running(try .example(.first))
        driver.send(.synced(.first, .failed(down, checksums: nil)))
        driver.send(.checksumsSeen(.first, .failure(down)))
        #expect(driver.send(.checksumsSeen(.first, .success(.of("1")))) == [.sync(try driver.state(.first).toolchain)])
    }

    @Test("TOOL-7: a unit that systemd gave up is mailed about and started again, without a new bootstrap")
    func agentGivenUp() throws {
        var driver = MachineDriver.running(try .example(.first))
        driver.bringUp(.first)
        while driver.machine.nextWake.map({ $0 <= driver.now }) == true { driver.wake() }
        let dead = AgentUnitState(
            instance: 2,
            unit: "bbot-agent@default-2.service",
            activeState: "failed",
            subState: "failed"
        )
        let effects = driver.send(.agentsSeen([.first: [dead]]))
        #expect(effects.mails == ["agents of toolchain default don't run"])
        while try driver.state(.first).phase.name == "failed" { driver.wake() }
        #expect(try driver.state(.first).phase == .startingAgents(.old))
        driver.send(.agentsStarted(.first, nil))
        #expect(driver.send(.agentsSeen([.first: [dead]])).mails.isEmpty)
    }

    @Test("A look at the agents that was begun before they were started says nothing about them")
    func staleLook() throws {
        var driver = MachineDriver.running(try .example(.first))
        driver.send(.synced(.first, .ready(.old)))
        while !driver.wake().contains(.lookAtAgents) {}
        driver.send(.bootstrapped(.first, .success(.own)))
        driver.pass(.seconds(1))
        driver.send(.agentsStarted(.first, nil))
        let dead = AgentUnitState(instance: 1, unit: "u", activeState: "inactive", subState: "dead")
        #expect(driver.send(.agentsSeen([.first: [dead]])).isEmpty)
        #expect(try driver.state(.first).phase == .running(.old))
    }

    @Test("Agents that come and go are mailed about once, and only staying up ends the trouble")
    func flappingAgents() throws {
        var driver = MachineDriver.running(try .example(.first))
        driver.bringUp(.first)
        let dead = AgentUnitState(instance: 1, unit: "u", activeState: "failed", subState: "failed")
        let alive = AgentUnitState(instance: 1, unit: "u", activeState: "active", subState: "running")
        var mails = 0
        var failures: [Int] = []
        for _ in 0..<3 {
            while !driver.wake().contains(.lookAtAgents) {}
            mails += driver.send(.agentsSeen([.first: [dead]])).mails.count
            failures.append(try #require(try driver.state(.first).phase.failure).failures)
            while try driver.state(.first).phase.name == "failed" { driver.wake() }
            driver.send(.agentsSeen([.first: [alive]]))
            driver.send(.agentsStarted(.first, nil))
            driver.send(.agentsSeen([.first: [alive]]))
        }
        #expect(mails == 1)
        #expect(failures == [1, 2, 3])
        driver.pass(.seconds(601))
        driver.send(.agentsSeen([.first: [alive]]))
        while !driver.wake().contains(.lookAtAgents) {}
        #expect(driver.send(.agentsSeen([.first: [dead]])).mails.count == 1)
    }

    @Test("TOOL-7: agents that systemd restarts over and over are mailed about, though no unit has failed")
    func restlessAgents() throws {
        var driver = MachineDriver.running(try .example(.first))
        driver.bringUp(.first)
        var mails: [Int] = []
        for restarts in 0..<12 {
            while !driver.wake().contains(.lookAtAgents) {}
            let agent = AgentUnitState(
                instance: 1,
                unit: "u",
                activeState: "activating",
                subState: "auto-restart",
                restarts: restarts
            )
            if !driver.send(.agentsSeen([.first: [agent]])).mails.isEmpty { mails.append(restarts) }
        }
        #expect(mails == [5])
        #expect(try driver.state(.first).phase == .running(.old))
    }

    @Test("Events that don't fit the phase are without effect")
    func strayEvents() throws {
        var driver = MachineDriver.running(try .example(.first))
        let before = driver.machine
        let nobody = try ToolchainName.named("nobody")
        for event: MonitorEvent in [
            .bootstrapped(.first, .success(.own)), .agentsStarted(.first, nil), .agentsStopped(.first, nil), .announced,
            .updateVerified(.first, .ready(.new)), .kernelFetched(.success(.firmware)), .rebootRefused(down),
            .synced(nobody, .ready(.old)), .prepared(.success(MachineCleaningReport())),
        ] {
            #expect(driver.send(event).isEmpty)
            #expect(driver.machine == before)
        }
    }
}
