import BuildOSKit
import Testing

@Suite("Monitor: changes and reboots") struct MonitorRebootTests {
    private let newID: BuildID
    private let first: Toolchain

    init() throws {
        newID = try #require(BuildID("20251124-bbbbbbbb"))
        first = try MonitorSettings.example(.first).toolchains[0]
    }

    private func running(_ change: (inout MonitorSettings) -> Void = { _ in }) throws -> MachineDriver {
        var settings = try MonitorSettings.example(.first)
        change(&settings)
        var driver = MachineDriver.running(settings)
        driver.bringUp(.first)
        return driver
    }

    @Test("BOOT-8: another build id leads to a drain and a reboot, announced by mail (MAIL-2)")
    func buildIDChange() throws {
        var driver = try running()
        #expect(driver.send(.buildIDSeen(.success(newID))).suffix(1) == [.lookAtMachines])
        #expect(driver.machine.phase.reason == .buildID(newID))
        #expect(driver.send(.machinesInUse(.success([]))) == [.stopAgents(first)])
        #expect(driver.send(.agentsStopped(.first, nil)).isEmpty)
        #expect(driver.machine.phase.name == "delaying")
        #expect(driver.wake().mails == ["reboot for an update"])
        #expect(driver.send(.announced) == [.reboot(.firmware)])
        #expect(driver.machine.phase.name == "rebooting")
    }

    @Test("BOOT-8: the same build id, and no usable answer, change nothing")
    func buildIDUnchanged() throws {
        var driver = try running()
        let same = try #require(driver.machine.settings.runningBuildID)
        #expect(driver.send(.buildIDSeen(.success(same))).isEmpty)
        let trouble = Trouble(.watch, "x", cause: "not a build id")
        #expect(driver.send(.buildIDSeen(.failure(trouble))).isEmpty)
        #expect(driver.machine.phase == .running)
        #expect(driver.machine.buildIDWatch?.trouble == trouble)
    }

    @Test("BOOT-8: a host that isn't an image, or was given no URL, watches no build id")
    func noBuildID() throws {
        var settings = try MonitorSettings.example(.first)
        settings.runningBuildID = nil
        #expect(MachineDriver.running(settings).machine.buildIDWatch == nil)
        settings = try .example(.first)
        settings.buildIDURL = nil
        #expect(MachineDriver.running(settings).machine.buildIDWatch == nil)
    }

    @Test("BOOT-8, BOOT-9: build id and checksums files are looked at every interval, give or take a tenth")
    func polling() throws {
        var driver = try running { $0.agentCheckInterval = .seconds(1_000_000) }
        let same = try #require(driver.machine.settings.runningBuildID)
        driver.send(.buildIDSeen(.success(same)))
        var looks: [MonitorInstant] = []
        for _ in 0..<40 {
            let effects = driver.wake()
            if effects.contains(.lookAtChecksums(first)) {
                driver.send(.checksumsSeen(.first, .success(SyncedToolchain.old.checksums)))
            }
            if effects.contains(where: { if case .lookAtBuildID = $0 { true } else { false } }) {
                looks.append(driver.now)
                driver.send(.buildIDSeen(.success(same)))
            }
        }
        #expect(looks.count > 10)
        for (earlier, later) in zip(looks, looks.dropFirst()) {
            let wait = earlier.duration(to: later)
            #expect(wait >= .seconds(54) && wait <= .seconds(66))
        }
        #expect(Set(zip(looks, looks.dropFirst()).map { $0.duration(to: $1) }).count > 1)
    }

    @Test(
        "BOOT-8: a host that came up from a reboot with the old OS builds on, says so, and tries again later and later",
        arguments: [(1, 600), (2, 1200), (3, 2400), (20, 21_600)]
    )
    func vainReboot(count: Int, seconds: Int64) throws {
        var driver = try running { $0.lastReboot = RebootRecord(buildID: newID, count: count) }
        #expect(driver.send(.buildIDSeen(.success(newID))).mails == ["the host can't reboot as asked"])
        driver.pass(.seconds(seconds - 1))
        #expect(driver.send(.buildIDSeen(.success(newID))).allSatisfy { $0 != .lookAtMachines })
        #expect(driver.machine.phase == .running)
        #expect(driver.machine.hostTroubles.count == 1)
        driver.pass(.seconds(1))
        #expect(driver.send(.buildIDSeen(.success(newID))).contains(.lookAtMachines))
    }

    @Test("BOOT-8: a reboot in vain for one build id does not hold up a reboot for another")
    func vainRebootForAnother() throws {
        let other = try #require(BuildID("20251125-cccccccc"))
        var driver = try running { $0.lastReboot = RebootRecord(buildID: other, count: 5) }
        #expect(driver.send(.buildIDSeen(.success(newID))).suffix(1) == [.lookAtMachines])
    }

    @Test("BOOT-9: a changed checksums file leads to a reboot, once the new files are known to be whole")
    func toolchainChange() throws {
        var driver = try running()
        #expect(driver.send(.checksumsSeen(.first, .success(SyncedToolchain.old.checksums))).isEmpty)
        #expect(driver.send(.checksumsSeen(.first, .success(SyncedToolchain.new.checksums))) == [.verifyUpdate(first)])
        #expect(driver.machine.phase == .running)
        #expect(driver.send(.checksumsSeen(.first, .success(SyncedToolchain.new.checksums))).isEmpty)
        #expect(driver.send(.updateVerified(.first, .ready(.new))).suffix(1) == [.lookAtMachines])
        #expect(driver.machine.phase.reason == .toolchain(.first, version: "0.18.0"))
    }

    @Test("BOOT-9: files that are not whole are refused by mail, and the running toolchain goes on")
    func corruptUpdate() throws {
        var driver = try running()
        driver.send(.checksumsSeen(.first, .success(SyncedToolchain.new.checksums)))
        let effects = driver.send(.updateVerified(.first, .refused(corrupt, checksums: SyncedToolchain.new.checksums)))
        #expect(effects.mails == ["toolchain default can't be updated"])
        #expect(driver.machine.phase == .running)
        #expect(try driver.state(.first).phase == .running(.old))
        // The same broken files are not tried at every look, but with back-off, and not mailed again.
        #expect(driver.send(.checksumsSeen(.first, .success(SyncedToolchain.new.checksums))).isEmpty)
        while !driver.wake().contains(.verifyUpdate(first)) {}
        #expect(
            driver.send(.updateVerified(.first, .refused(corrupt, checksums: SyncedToolchain.new.checksums))).isEmpty
        )
        // A mended set is tried at once.
        #expect(driver.send(.checksumsSeen(.first, .success(.of("3")))) == [.verifyUpdate(first)])
        driver.send(.updateVerified(.first, .ready(.new)))
        #expect(driver.machine.phase.name == "draining")
    }

    @Test("BOOT-9: a change that is taken back is forgotten")
    func updateTakenBack() throws {
        var driver = try running()
        driver.send(.checksumsSeen(.first, .success(SyncedToolchain.new.checksums)))
        driver.send(.updateVerified(.first, .refused(corrupt, checksums: nil)))
        #expect(driver.send(.checksumsSeen(.first, .success(SyncedToolchain.old.checksums))).isEmpty)
        #expect(try driver.state(.first).update == nil)
        driver.send(.checksumsSeen(.first, .success(SyncedToolchain.new.checksums)))
        driver.send(.updateVerified(.first, .ready(.old)))
        #expect(try driver.state(.first).update == nil)
        #expect(driver.machine.phase == .running)
    }

    @Test("BOOT-9: a toolchain that gets disabled leads to a reboot")
    func disabledWhileRunning() throws {
        var driver = try running()
        driver.send(.checksumsSeen(.first, .success(.of("0"))))
        driver.send(.updateVerified(.first, .disabled(.of("0"))))
        #expect(driver.machine.phase.reason == .toolchain(.first, version: nil))
    }

    @Test("BOOT-11: builds hold up a reboot; a toolchain without any is stopped at once and takes no new task")
    func drain() throws {
        let other = try ToolchainName.named("other")
        var driver = MachineDriver.running(try .example(.first, other))
        driver.bringUp(.first)
        driver.bringUp(other)
        driver.send(.buildIDSeen(.success(newID)))
        let busy = MachineInUse(snapshot: "linux-default-x1", toolchain: .first)
        #expect(driver.send(.machinesInUse(.success([busy]))) == [.stopAgents(try driver.state(other).toolchain)])
        driver.send(.agentsStopped(other, nil))
        #expect(driver.machine.phase.name == "draining")
        #expect(driver.machine.inUse == [busy])
        #expect(driver.wake() == [.lookAtMachines])
        #expect(driver.send(.machinesInUse(.success([busy]))).isEmpty)
        #expect(driver.wake() == [.lookAtMachines])
        #expect(driver.send(.machinesInUse(.success([]))) == [.stopAgents(try driver.state(.first).toolchain)])
        driver.send(.agentsStopped(.first, nil))
        #expect(driver.machine.phase.name == "delaying")
    }

    @Test("BOOT-11: builds hold up a reboot no longer than the limit")
    func drainLimit() throws {
        var driver = try running { $0.drainLimit = .seconds(600) }
        let began = driver.now
        driver.send(.buildIDSeen(.success(newID)))
        let busy = MachineInUse(snapshot: "linux-default-x1", toolchain: .first)
        var looks = 0
        var effects: [MonitorEffect] = []
        while !effects.contains(.stopAgents(first)) {
            driver.send(.machinesInUse(.success([busy])))
            effects = driver.wake()
            looks += 1
            try #require(looks < 1000)
        }
        #expect(began.duration(to: driver.now) == .seconds(600))
        #expect(driver.machine.phase == .stoppingAgents(.buildID(newID)))
        driver.send(.agentsStopped(.first, Trouble(.agents, "toolchain default", cause: "timeout")))
        #expect(driver.machine.phase.name == "delaying")
    }

    @Test("BOOT-11: not knowing what runs, a host waits for the limit")
    func drainBlind() throws {
        var driver = try running { $0.drainLimit = .seconds(60) }
        driver.send(.buildIDSeen(.success(newID)))
        let trouble = Trouble(.storage, "machines", cause: "permission denied")
        #expect(driver.send(.machinesInUse(.failure(trouble))).mails == ["trouble with machine storage"])
        #expect(driver.machine.phase.name == "draining")
        driver.pass(.seconds(60))
        #expect(driver.machine.phase.name == "stopping-agents")
    }

    @Test("BOOT-11: a host without agents reboots without a drain, even in the middle of a bootstrap")
    func nothingToDrain() throws {
        var driver = MachineDriver.running(try .example(.first))
        driver.send(.synced(.first, .ready(.old)))
        #expect(driver.send(.buildIDSeen(.success(newID))).isEmpty)
        #expect(driver.machine.phase.name == "delaying")
        #expect(driver.send(.bootstrapped(.first, .success(.own))).isEmpty)
        #expect(try driver.state(.first).phase == .stopped)
    }

    @Test("BOOT-11: hosts of a farm don't reboot in the same second", arguments: [60, 0])
    func spread(seconds: Int64) throws {
        var waits: Set<Duration> = []
        for seed in 0..<40 as Range<UInt64> {
            var settings = try MonitorSettings.example(.first)
            settings.rebootSpread = .seconds(seconds)
            var driver = MachineDriver.running(settings, seed: seed)
            driver.send(.buildIDSeen(.success(newID)))
            let deadline = driver.machine.phase.deadline ?? driver.now
            waits.insert(driver.now.duration(to: deadline))
        }
        #expect(waits.allSatisfy { $0 >= .zero && $0 <= .seconds(seconds) })
        #expect(seconds == 0 ? waits == [.zero] : waits.count > 30)
    }

    @Test("While it goes down, a host begins nothing new and looks at nothing")
    func quietWhileGoingDown() throws {
        let other = try ToolchainName.named("other")
        var driver = MachineDriver.running(try .example(.first, other))
        driver.bringUp(.first)
        driver.send(.synced(other, .failed(down, checksums: nil)))
        driver.send(.buildIDSeen(.success(newID)))
        driver.send(.checksumsSeen(.first, .success(.of("9"))))
        driver.send(.buildIDSeen(.success(try #require(BuildID("20251125-cccccccc")))))
        #expect(driver.machine.phase.reason == .buildID(newID))
        #expect(driver.pass(.seconds(120)).isEmpty)
    }

    @Test("BOOT-12: with kexec the kernel is fetched once the host is drained, and booted")
    func kexec() throws {
        var driver = try running {
            $0.rebootMethod = .kexec
            $0.rebootSpread = .zero
        }
        let url = try #require(driver.machine.settings.buildIDURL)
        driver.send(.buildIDSeen(.success(newID)))
        driver.send(.machinesInUse(.success([])))
        #expect(driver.send(.agentsStopped(.first, nil)) == [.fetchKernel(url)])
        let request = RebootRequest.kexec(kernel: "/k", initrd: "/i")
        #expect(driver.send(.kernelFetched(.success(request))).mails == ["reboot for an update"])
        #expect(driver.send(.announced) == [.reboot(request)])
    }

    @Test("BOOT-12: whatever goes wrong with kexec is reported, and the host reboots through its firmware")
    func kexecFallsBack() throws {
        let trouble = Trouble(.reboot, "reboot by kexec", cause: "checksum of buildos-initrd is wrong")
        func kexecuting(_ change: (inout MonitorSettings) -> Void = { _ in }) throws -> MachineDriver {
            var settings = try MonitorSettings.example(.first)
            settings.rebootMethod = .kexec
            settings.rebootSpread = .zero
            change(&settings)
            return MachineDriver.running(settings)
        }
        var driver = try kexecuting()
        driver.send(.buildIDSeen(.success(newID)))
        #expect(
            driver.send(.kernelFetched(.failure(trouble))).mails == [
                "the host can't reboot as asked", "reboot for an update",
            ]
        )
        #expect(driver.send(.announced) == [.reboot(.firmware)])

        driver = try kexecuting()
        driver.send(.buildIDSeen(.success(newID)))
        driver.send(.kernelFetched(.success(.kexec(kernel: "/k", initrd: "/i"))))
        driver.send(.announced)
        let effects = driver.send(.rebootRefused(trouble))
        #expect(effects.contains(.reboot(.firmware)))
        #expect(effects.mails == ["the host can't reboot as asked"])

        driver = try kexecuting { $0.buildIDURL = nil }
        driver.bringUp(.first)
        driver.send(.checksumsSeen(.first, .success(.of("2"))))
        driver.send(.updateVerified(.first, .ready(.new)))
        driver.send(.machinesInUse(.success([])))
        #expect(
            driver.send(.agentsStopped(.first, nil)).mails == [
                "the host can't reboot as asked", "reboot for an update",
            ]
        )
    }

    @Test("A host that refuses to reboot, or doesn't go down, is asked again with back-off")
    func rebootFails() throws {
        var driver = MachineDriver.running(try .example(.first))
        driver.send(.buildIDSeen(.success(newID)))
        driver.wake()
        driver.send(.announced)
        let trouble = Trouble(.reboot, "reboot", cause: "sudo: a password is required")
        #expect(driver.send(.rebootRefused(trouble)).mails == ["the host can't reboot as asked"])
        #expect(driver.machine.hostTroubles == [trouble])
        #expect(driver.wake() == [.reboot(.firmware)])
        #expect(driver.pass(.seconds(599)).isEmpty)
        driver.pass(.seconds(1))
        #expect(driver.machine.phase.name == "reboot-failed")
    }

    @Test("MAIL-2: a watched file without a usable answer is mailed about once it has lasted an hour")
    func watchPatience() throws {
        var driver = try running()
        let trouble = Trouble(.watch, "x", cause: "HTTP status 404")
        var mails: [(Duration, [String])] = []
        for _ in 0..<70 {
            let sent = driver.send(.buildIDSeen(.failure(trouble))).mails
            if !sent.isEmpty { mails.append((driver.now.sinceStart, sent)) }
            driver.pass(.seconds(60))
        }
        #expect(mails.count == 1)
        #expect(mails.first?.0 == .seconds(3600))
        #expect(mails.first?.1 == ["no usable answer from tftp://example.org/buildos/buildos-buildid"])
    }

    @Test("A monitor that is stopped wants nothing any more")
    func stopped() throws {
        var driver = try running()
        driver.send(.stopping)
        #expect(driver.machine.phase == .stopped)
        #expect(driver.machine.nextWake == nil)
        #expect(driver.pass(.seconds(10_000)).isEmpty)
    }
}
