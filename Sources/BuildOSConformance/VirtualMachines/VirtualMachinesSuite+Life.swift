import BuildOSKit
import Glibc

extension VirtualMachinesSuite {
    var starting: [ConformanceCheck] {
        [
            check("a guest has the CPUs, memory, disks and addresses of its definition") { bench in
                var definition = try bench.definition("idle")
                definition.cpus = 2
                definition.disks = [
                    VirtualDisk(try bench.disk("firstdisk", "a,b.img")),
                    VirtualDisk(try bench.disk("seconddisk", "second.img"), isReadOnly: true),
                ]
                let address = try MACAddress("52:54:00:ab:cd:ef")
                definition.interfaces = [VirtualNetworkInterface(.user(forwards: []), macAddress: address)]
                if let log = definition.serialLog { try FileTree.write("what was there before", to: log) }
                try await bench.start(definition, until: "READY")
                let serial = bench.serial(definition)
                try require(!serial.contains("before"), "the serial log was not begun anew")
                for expected in [
                    "cpus 2", "disk vda sectors 2048 read-only 0 holds firstdisk",
                    "disk vdb sectors 2048 read-only 1 holds seconddisk", "interface eth0 52:54:00:ab:cd:ef",
                ] { try require(serial.contains(expected), "the guest does not find '\(expected)': \(serial)") }
                let memory = serial.split(whereSeparator: \.isNewline).compactMap { line in
                    line.hasPrefix("memory ") ? Int(line.dropFirst("memory ".count).filter(\.isNumber)) : nil
                }
                // The kernel keeps some for itself.
                try require(memory.count == 1 && (180_000...262_144).contains(memory[0]), "it has \(memory) KiB")
            },
            check("every board that is offered runs a kernel") { bench in
                for board in bench.capabilities.boards {
                    var definition = try bench.definition("poweroff", named: board.rawValue)
                    definition.board = board
                    if board == .microvm, case .kernel(let kernel, let initrd, let commandLine) = definition.boot {
                        // It has no clock to measure the processor's by but one that a busy host disturbs.
                        let clocked = "\(commandLine) tsc_early_khz=2000000"
                        definition.boot = .kernel(kernel, initrd: initrd, commandLine: clocked)
                    }
                    definition.disks = [VirtualDisk(try bench.disk("on\(board.rawValue)", "\(board).img"))]
                    let machine = try await bench.start(definition)
                    try await bench.expectEnd(machine, .guestShutdown)
                    try require(bench.serial(definition).contains("holds on\(board.rawValue)"), "no disk on \(board)")
                }
            },
            check("the host's CPUs and the nice value are those asked for (RES-3)") { bench in
                var definition = try bench.sectorDefinition()
                definition.affinity = try CPUSet("0")
                definition.nice = 5
                let machine = try await bench.start(definition, until: "from the disk")
                guard !bench.capabilities.remote, let process = machine.processID else { return }
                let threads = FilePath("/proc/\(process)/task")
                for thread in try FileTree.names(in: threads) {
                    guard let status = try? FileTree.readText(threads.appending("\(thread)/status")) else { continue }
                    try require(status.contains("Cpus_allowed_list:\t0\n"), "a thread runs elsewhere: \(status)")
                    let nice = getpriority(__priority_which_t(PRIO_PROCESS.rawValue), id_t(thread) ?? 0)
                    try require(nice == 5, "a thread has the nice value \(nice)")
                }
            },
            check("a memory limit holds for the hypervisor's process") { bench in
                guard bench.capabilities.memoryLimit else { throw ConformanceSkip(notOffered: "memory-limit") }
                var definition = try bench.sectorDefinition()
                definition.memoryLimit = MemorySize(gibibytes: 1)
                let machine = try await bench.start(definition, until: "from the disk")
                guard !bench.capabilities.remote, let process = machine.processID else { return }
                let groups = try FileTree.readText(FilePath("/proc/\(process)/cgroup"))
                let limits = groups.split(separator: "\n").compactMap { line -> String? in
                    guard let path = line.split(separator: ":", maxSplits: 2).last else { return nil }
                    return ["/sys/fs/cgroup\(path)/memory.max", "/sys/fs/cgroup/memory\(path)/memory.limit_in_bytes"]
                        .lazy.compactMap { try? FileTree.readText(FilePath($0)) }.first
                }
                try require(limits.contains("1073741824\n"), "its limits are \(limits)")
            },
            check("machines run side by side") { bench in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 1...4 {
                        let definition = try bench.sectorDefinition("number \(number)", named: "m\(number)")
                        group.addTask { try await bench.start(definition, until: "number \(number)") }
                    }
                    try await group.waitForAll()
                }
            },
        ]
    }

    var exits: [ConformanceCheck] {
        [
            check("a guest that switches itself off ends as that, and nothing is left") { bench in
                var definition = try bench.definition("poweroff")
                definition.monitorSocket = bench.directory.appending("monitor")
                let machine = try await bench.start(definition)
                let waiting = (0..<3).map { _ in Task { try await machine.waitUntilEnded() } }
                for task in waiting {
                    let exit = try await task.value
                    try require(exit == .guestShutdown, "it ended: \(exit)")
                }
                try await bench.expectNothingLeft(of: definition)
                let state = try await machine.state()
                try require(state == .ended(.guestShutdown), "its state is \(state)")
                if !bench.capabilities.remote, let process = machine.processID {
                    try require(Glibc.kill(process, 0) != 0, "its process is left")
                }
                try await bench.expectError(.notRunning, from: "resuming it") { try await machine.resume() }
                try require(bench.serial(definition).contains("READY"), "its serial log is gone")
            },
            check("a guest that resets itself ends as that") { bench in
                let machine = try await bench.start(try bench.definition("reboot"))
                try await bench.expectEnd(machine, .guestReset)
            },
            check("a machine that doesn't end on a reset starts again") { bench in
                var definition = try bench.definition("reboot")
                definition.endsOnReset = false
                let machine = try await bench.start(definition)
                try await bench.wait(for: "READY", times: 2, from: definition, of: machine)
                try await machine.kill()
                try await bench.expectEnd(machine, .killed)
            },
            check("a guest's panic is told, and the machine stands still until it is killed") { bench in
                let definition = try bench.definition("panic")
                let machine = try await bench.start(definition, until: "READY")
                try await bench.until("it is panicked") { try await machine.state() == .panicked }
                try await machine.kill()
                try await bench.expectEnd(machine, .killed)
                try await bench.expectNothingLeft(of: definition)
            },
            check("a hypervisor that dies is told, and nothing is left") { bench in
                var definition = try bench.sectorDefinition()
                definition.monitorSocket = bench.directory.appending("monitor")
                let machine = try await bench.start(definition, until: "from the disk")
                guard !bench.capabilities.remote, let process = machine.processID else { return }
                Glibc.kill(process, SIGKILL)
                let exit = try await machine.waitUntilEnded()
                guard case .crashed = exit else { throw ConformanceFailure("it ended: \(exit)") }
                try await bench.expectNothingLeft(of: definition)
            },
            check("killing ends a machine at once, whatever it does; again it is no error") { bench in
                var definition = try bench.sectorDefinition()
                definition.monitorSocket = bench.directory.appending("monitor")
                let machine = try await bench.start(definition, until: "from the disk")
                // Nobody is there to heed that.
                try await machine.powerDown()
                try await machine.kill()
                try await bench.expectNothingLeft(of: definition)
                try await machine.kill()
                try await bench.expectEnd(machine, .killed)
            },
            check("cancelling a wait ends the wait, not the machine") { bench in
                let machine = try await bench.start(try bench.sectorDefinition(), until: "from the disk")
                let waiting = Task { try await machine.waitUntilEnded() }
                waiting.cancel()
                try await bench.expectError(.cancelled, from: "the wait") { _ = try await waiting.value }
                let state = try await machine.state()
                try require(state == .running, "its state is \(state)")
            },
        ]
    }

    var control: [ConformanceCheck] {
        [
            check("pausing stops the guest and resuming lets it go on; twice is no error") { bench in
                let definition = try bench.definition("tick")
                let machine = try await bench.start(definition, until: "tick 3")
                var state = try await machine.state()
                try require(state == .running, "its state is \(state)")
                try await machine.pause()
                try await machine.pause()
                let before = bench.serial(definition)
                let end = ContinuousClock.now + .milliseconds(500)
                // Ten ticks' time; a machine under load can only make this see less.
                while ContinuousClock.now < end {
                    state = try await machine.state()
                    guard case .paused = state else { throw ConformanceFailure("its state is \(state)") }
                    await Task.yield()
                }
                try require(bench.serial(definition) == before, "the guest went on")
                try await machine.resume()
                try await machine.resume()
                try await bench.until("it ticks on") { bench.serial(definition).utf8.count > before.utf8.count + 50 }
                try await machine.pause()
                try await machine.kill()
                try await bench.expectEnd(machine, .killed)
            },
            check("a machine that is to stand at first stands until it is told to go on") { bench in
                var definition = try bench.definition("tick")
                definition.startsPaused = true
                let machine = try await bench.start(definition)
                guard case .paused = try await machine.state() else { throw ConformanceFailure("it does not stand") }
                // Much longer than its kernel takes to say a word.
                try await Task.sleep(for: .seconds(2))
                let serial = bench.serial(definition)
                try require(serial.isEmpty, "it said \(serial)")
                try await machine.resume()
                try await bench.until("it ticks") { Self.ticks(bench.serial(definition)).count > 1 }
            },
            check("a guest heeds the power button") { bench in
                let definition = try bench.definition("idle")
                let machine = try await bench.start(definition, until: "READY")
                try await machine.powerDown()
                try await bench.expectEnd(machine, .guestShutdown)
                try require(bench.serial(definition).contains("power button"), "it ended without the button")
            },
            check("the reset button starts the guest again, also where the guest's own reset ends it") { bench in
                let definition = try bench.definition("idle")
                let machine = try await bench.start(definition, until: "READY")
                try await machine.reset()
                try await bench.wait(for: "READY", times: 2, from: definition, of: machine)
                let state = try await machine.state()
                try require(state == .running, "its state is \(state)")
                try await machine.powerDown()
                try await bench.expectEnd(machine, .guestShutdown)
            },
        ]
    }
}
