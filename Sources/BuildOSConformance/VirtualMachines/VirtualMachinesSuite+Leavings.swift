import BuildOSKit
import Glibc

extension VirtualMachinesSuite {
    var memorySnapshots: [ConformanceCheck] {
        [
            check("a machine goes on where its saved memory stood, running") { bench in
                guard bench.capabilities.memorySnapshots else {
                    let machine = try await bench.start(try bench.sectorDefinition())
                    try await machine.pause()
                    try await bench.expectError(.unsupported, from: "saving its memory") {
                        try await machine.saveMemory(to: bench.directory.appending("memory"))
                    }
                    throw ConformanceSkip(notOffered: "memory-snapshots")
                }
                let file = bench.directory.appending("memory")
                var first = try bench.definition("tick", named: "first")
                first.hasGenerationID = true
                let machine = try await bench.start(first, until: "tick 3")
                try await bench.expectError(.refused, from: "saving the memory of a running machine") {
                    try await machine.saveMemory(to: file)
                }
                try require(!FileTree.exists(file), "there is a file")
                try await machine.pause()
                try await machine.saveMemory(to: file)
                let stood = Self.ticks(bench.serial(first)).max() ?? 0
                try await machine.kill()
                for name in ["second", "third"] {
                    var definition = try bench.definition("tick", named: name)
                    definition.hasGenerationID = true
                    let restored = try await bench.start(definition, restoring: file)
                    try await bench.until("\(name) ticks", seen: { bench.serial(definition) }) {
                        Self.ticks(bench.serial(definition)).count > 1
                    }
                    let serial = bench.serial(definition)
                    try require(!serial.contains("READY"), "it booted")
                    let next = Self.ticks(serial).min() ?? 0
                    try require((stood...stood + 2).contains(next), "it stood at \(stood) and went on at \(next)")
                    let state = try await restored.state()
                    try require(state == .running, "its state is \(state)")
                    try await restored.kill()
                }
                let names = try FileTree.names(in: bench.directory).filter { $0.contains("memory") }
                try require(names == ["memory"], "there is \(names)")
            },
            check("a restored machine can stand at first, and goes on when it is told to") { bench in
                guard bench.capabilities.memorySnapshots else { throw ConformanceSkip(notOffered: "memory-snapshots") }
                let file = bench.directory.appending("memory")
                let machine = try await bench.start(try bench.definition("tick", named: "first"), until: "tick 3")
                try await machine.pause()
                try await machine.saveMemory(to: file)
                try await machine.kill()
                var definition = try bench.definition("tick", named: "second")
                definition.startsPaused = true
                let restored = try await bench.start(definition, restoring: file)
                try await Task.sleep(for: .seconds(1))
                guard case .paused = try await restored.state() else { throw ConformanceFailure("it does not stand") }
                let serial = bench.serial(definition)
                try require(serial.isEmpty, "it said \(serial)")
                try await restored.resume()
                try await bench.until("it ticks", seen: { bench.serial(definition) }) {
                    Self.ticks(bench.serial(definition)).count > 1
                }
            },
            check("memory can be saved, and the machine goes on") { bench in
                guard bench.capabilities.memorySnapshots else { throw ConformanceSkip(notOffered: "memory-snapshots") }
                let definition = try bench.definition("tick")
                let machine = try await bench.start(definition, until: "tick 3")
                try await machine.pause()
                try await machine.saveMemory(to: bench.directory.appending("memory"))
                let before = bench.serial(definition).utf8.count
                try await machine.resume()
                try await bench.until("it ticks on") { bench.serial(definition).utf8.count > before + 50 }
            },
            check("what is not saved memory is refused, and nothing is left") { bench in
                guard bench.capabilities.memorySnapshots else { throw ConformanceSkip(notOffered: "memory-snapshots") }
                let file = bench.directory.appending("memory")
                try FileTree.write([UInt8](repeating: 0x5a, count: 100_000), to: file)
                var definition = try bench.sectorDefinition()
                definition.monitorSocket = bench.directory.appending("monitor")
                definition.serialSocket = bench.directory.appending("serial")
                try await bench.expectError(.badSnapshot, from: "the start") {
                    try await bench.start(definition, restoring: file)
                }
                try await bench.expectNothingLeft(of: definition)
                try await bench.expectError(.missingResource, from: "the start from no file") {
                    try await bench.start(definition, restoring: bench.directory.appending("none"))
                }
                try await bench.expectNothingLeft(of: definition)
            },
        ]
    }

    var finding: [ConformanceCheck] {
        [
            check("a machine runs on when nobody refers to it, and is found by another instance") { bench in
                var definition = try bench.sectorDefinition()
                definition.monitorSocket = bench.directory.appending("monitor")
                definition.serialSocket = bench.directory.appending("serial")
                let process = try await bench.backend.start(definition).processID
                let other = try makeBench(bench.directory)
                guard
                    let found = try await other.backend.find(
                        definition.name,
                        runtimeDirectory: definition.runtimeDirectory
                    )
                else {
                    // Who could end it otherwise?
                    if let process { kill(process, SIGKILL) }
                    throw ConformanceFailure("it is not found")
                }
                try require(found.name == definition.name, "it is \(found.name)")
                try require(found.processID == process, "it has another process")
                let state = try await found.state()
                try require(state == .running, "its state is \(state)")
                try await found.kill()
                try await other.expectEnd(found, .killed)
                try await bench.expectNothingLeft(of: definition)
            },
            check("who found a machine and who started it see the same") { bench in
                let definition = try bench.definition("idle")
                let machine = try await bench.start(definition, until: "READY")
                guard
                    let found = try await makeBackend().find(
                        definition.name,
                        runtimeDirectory: definition.runtimeDirectory
                    )
                else { throw ConformanceFailure("it is not found") }
                try await found.pause()
                guard case .paused = try await machine.state() else { throw ConformanceFailure("it is not paused") }
                try await machine.resume()
                try await found.powerDown()
                try await bench.expectEnd(machine, .guestShutdown)
                try await bench.expectEnd(found, .guestShutdown)
            },
            check("a machine that doesn't run is not found, by the name of another neither") { bench in
                let definition = try bench.sectorDefinition()
                try await bench.expectNothingLeft(of: definition)
                let other = try bench.sectorDefinition(named: "other")
                try await bench.start(other)
                let found = try await bench.backend.find(
                    definition.name,
                    runtimeDirectory: other.runtimeDirectory
                )
                try require(found == nil, "it is found")
            },
        ]
    }

    var leavings: [ConformanceCheck] {
        [
            check("a name is had once; the machine that has it is not disturbed") { bench in
                let definition = try bench.sectorDefinition()
                let machine = try await bench.start(definition, until: "from the disk")
                try await bench.expectError(.alreadyRunning, from: "a second start") {
                    try await bench.start(definition)
                }
                let state = try await machine.state()
                try require(state == .running, "its state is \(state)")
                try await machine.kill()
                try await bench.start(definition, until: "from the disk")
            },
            check("what is not there is told before anything is started") { bench in
                var definition = try bench.sectorDefinition()
                definition.disks = [VirtualDisk(bench.directory.appending("no-such-disk"))]
                try await expectNoStart(.missingResource, definition, bench)
                definition = try bench.sectorDefinition()
                definition.boot = .kernel("/no/such/kernel", initrd: nil, commandLine: "")
                try await expectNoStart(.missingResource, definition, bench)
                definition = try bench.sectorDefinition()
                definition.interfaces = [VirtualNetworkInterface(.tap("nosuchtap0"))]
                try await expectNoStart(.missingResource, definition, bench)
            },
            check("what can't be is told before anything is started") { bench in
                let changes: [@Sendable (inout VirtualMachineDefinition) -> Void] = [
                    { $0.cpus = 0 }, { $0.memory = MemorySize(kibibytes: 0) }, { $0.nice = 20 }, { $0.disks = [] },
                    { $0.display = VirtualDisplay(port: 80) }, { $0.display = VirtualDisplay(host: "a,b", port: 5901) },
                    { $0.boot = .devices([]) },
                ]
                for change in changes {
                    var definition = try bench.sectorDefinition()
                    change(&definition)
                    try await expectNoStart(.invalidDefinition, definition, bench)
                }
            },
            check("a start that the hypervisor gives up leaves nothing, and can be tried again") { bench in
                var definition = try bench.sectorDefinition()
                definition.monitorSocket = bench.directory.appending("monitor")
                definition.serialSocket = bench.directory.appending("serial")
                let good = definition.disks
                definition.disks = [VirtualDisk(try bench.disk("no header", "broken"), format: .qcow2)]
                try await expectNoStart(.cannotStart, definition, bench)
                definition.disks = good

                let taken = try SocketClient.freePort()
                var holder = try bench.sectorDefinition(named: "holder")
                holder.display = VirtualDisplay(port: taken)
                try await bench.start(holder, until: "from the disk")
                definition.display = VirtualDisplay(port: taken)
                try await expectNoStart(.cannotStart, definition, bench)
                definition.display = nil
                try await bench.start(definition, until: "from the disk")
            },
        ]
    }

    private func expectNoStart(
        _ kind: VirtualMachineError.Kind,
        _ definition: VirtualMachineDefinition,
        _ bench: MachineBench
    ) async throws {
        try await bench.expectError(kind, from: "the start") { try await bench.start(definition) }
        try await bench.expectNothingLeft(of: definition)
    }

    /// The numbers that the guest has counted up to, of whole lines only.
    static func ticks(_ serial: String) -> [Int] {
        let whole =
            serial.utf8.last == UInt8(ascii: "\n")
            ? serial[...] : serial[..<(serial.lastIndex(of: "\n") ?? serial.startIndex)]
        return whole.split(whereSeparator: \.isNewline).compactMap { line in
            line.hasPrefix("tick ") ? Int(line.dropFirst("tick ".count).filter(\.isNumber)) : nil
        }
    }
}
