import BuildOSKit
import Glibc
import Synchronization

/// What one check starts its machines with, and what ends those it leaves running.
final class MachineBench: Sendable {
    let backend: any VirtualMachines
    let guest: ConformanceEnvironment.Guest
    let directory: FilePath
    private let patience: Duration
    private let started = Mutex<[any VirtualMachine]>([])

    init(
        backend: any VirtualMachines,
        guest: ConformanceEnvironment.Guest,
        patience: Duration,
        directory: FilePath
    ) {
        self.patience = patience
        self.backend = backend
        self.guest = guest
        self.directory = directory
    }

    var capabilities: VirtualMachineCapabilities { backend.capabilities }

    /// A machine that runs the test guest, told what to do by its kernel's command line.
    func definition(_ behaviour: String, named name: String = "machine") throws -> VirtualMachineDefinition {
        try definition(
            named: name,
            boot: .kernel(guest.kernel, initrd: guest.initrd, commandLine: Self.commandLine(behaviour)),
            mebibytes: 256
        )
    }

    /// A kernel that finds its timer late, as one does on a busy host without KVM, gives up unless told not to look.
    private static func commandLine(_ behaviour: String) -> String {
        "console=ttyS0 quiet no_timer_check guest=\(behaviour)"
    }

    /// A machine that writes a text to its serial port within a second, and halts.
    func sectorDefinition(
        _ text: String = "from the disk",
        named name: String = "machine"
    ) throws -> VirtualMachineDefinition {
        var definition = try definition(named: name, boot: .devices([.disk]), mebibytes: 32)
        definition.disks = [VirtualDisk(try bootDisk(text, "\(name).disk"), isReadOnly: true)]
        return definition
    }

    private func definition(
        named name: String,
        boot: VirtualMachineBoot,
        mebibytes: Int
    ) throws -> VirtualMachineDefinition {
        // Random, as names are the backend's, not the check's.
        let full = "check-\(name)-\(UInt32.random(in: .min ... .max))"
        guard let name = VirtualMachineName(full) else { throw ConformanceFailure("'\(full)' is not a name") }
        let runtime = directory.appending(full)
        try FileTree.makeDirectory(runtime)
        var definition = VirtualMachineDefinition(
            name: name,
            memory: MemorySize(kibibytes: mebibytes << 10),
            cpus: 1,
            boot: boot,
            runtimeDirectory: runtime
        )
        definition.serialLog = directory.appending("\(full).serial")
        return definition
    }

    /// Starts a machine that is ended with the check.
    @discardableResult
    func start(
        _ definition: VirtualMachineDefinition,
        restoring memory: FilePath? = nil
    ) async throws -> any VirtualMachine {
        let machine = try await backend.start(definition, restoring: memory)
        started.withLock { $0.append(machine) }
        return machine
    }

    /// Starts a machine, and waits for a text on its serial port.
    @discardableResult
    func start(
        _ definition: VirtualMachineDefinition,
        until text: String
    ) async throws -> any VirtualMachine {
        let machine = try await start(definition)
        try await wait(for: text, from: definition, of: machine)
        return machine
    }

    func endAll() async {
        for machine in started.withLock({ $0 }) { try? await machine.kill() }
    }

    /// What the machine wrote to its serial port so far.
    func serial(_ definition: VirtualMachineDefinition) -> String {
        definition.serialLog.flatMap { try? FileTree.readText($0, limit: 16 << 20) } ?? ""
    }

    /// Waits until a machine has written a text to its serial port, so often.
    func wait(
        for text: String,
        times: Int = 1,
        from definition: VirtualMachineDefinition,
        of machine: any VirtualMachine
    ) async throws {
        try await until("\(definition.name) writes '\(text)'", seen: { self.serial(definition) }) {
            // Asked first, so that what it wrote in the end is still seen.
            let state = try await machine.state()
            if self.serial(definition).ranges(of: text).count >= times { return true }
            if case .ended(let exit) = state {
                throw ConformanceFailure(
                    "it ended (\(exit)) before it wrote '\(text)': \(self.serial(definition).suffix(600))"
                )
            }
            return false
        }
    }

    /// Waits until something is so, by looking again and again: a file tells nobody that it grew.
    func until(
        _ what: String,
        seen: () -> String = { "" },
        _ isSo: () async throws -> Bool
    ) async throws {
        let deadline = ContinuousClock.now + patience
        while !(try await isSo()) {
            guard ContinuousClock.now < deadline else {
                throw ConformanceFailure("waited \(patience) until \(what); seen: \(seen().suffix(600))")
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// Throws unless a machine ends, and so.
    func expectEnd(_ machine: any VirtualMachine, _ expected: VirtualMachineExit) async throws {
        let exit = try await machine.waitUntilEnded()
        try require(exit == expected, "it ended: \(exit)")
    }

    /// Throws if anything is left of a machine that has ended or did not start.
    func expectNothingLeft(of definition: VirtualMachineDefinition) async throws {
        let left = try FileTree.names(in: definition.runtimeDirectory)
        try require(left.isEmpty, "left in its directory: \(left)")
        if let socket = definition.monitorSocket {
            try require(!FileTree.exists(socket), "its monitor socket is left")
        }
        if let socket = definition.serialSocket {
            try require(!FileTree.exists(socket), "its serial socket is left")
        }
        let found = try await backend.find(definition.name, runtimeDirectory: definition.runtimeDirectory)
        try require(found == nil, "it is found")
    }

    /// Throws unless an operation fails in one of these ways.
    func expectError(
        _ kinds: VirtualMachineError.Kind...,
        from operation: String,
        _ body: () async throws -> Void
    ) async throws {
        do {
            try await body()
        } catch let error as VirtualMachineError {
            try require(kinds.contains(error.kind), "\(operation) failed as \(error.kind): \(error)")
            try require(!error.detail.isEmpty, "\(operation) failed without a reason")
            return
        }
        throw ConformanceFailure("\(operation) did not fail")
    }

    /// Makes a disk whose boot sector writes a text to the first serial port.
    func bootDisk(_ text: String, _ name: String) throws -> FilePath {
        let path = directory.appending(name)
        try FileTree.write(BootSector(text).bytes + [UInt8](repeating: 0, count: 1 << 20), to: path)
        return path
    }

    /// Makes a disk that begins with a text.
    func disk(_ text: String, _ name: String) throws -> FilePath {
        let path = directory.appending(name)
        try FileTree.write(Array(text.utf8) + [UInt8](repeating: 0, count: 1 << 20 - text.utf8.count), to: path)
        return path
    }
}

/// A program for the first instant of a PC: 512 bytes that the firmware loads to 0x7c00, from a disk, or from the network as
/// a PXE boot program. It writes a text to COM1 and halts.
struct BootSector {
    let bytes: [UInt8]

    /// - Parameter text: at most 400 characters of ASCII.
    init(_ text: String) {
        let code: [UInt8] = [
            0x31, 0xc0,  // xor ax, ax
            0x8e, 0xd8,  // mov ds, ax
            0xbe, 0x17, 0x7c,  // mov si, text
            0xba, 0xf8, 0x03,  // mov dx, 0x3f8
            0xfc,  // cld
            0xac,  // next: lodsb
            0x84, 0xc0,  // test al, al
            0x74, 0x03,  // jz end
            0xee,  // out dx, al
            0xeb, 0xf8,  // jmp next
            0xfb,  // end: sti
            0xf4,  // halt: hlt
            0xeb, 0xfd,  // jmp halt
        ]
        let program = code + Array(text.utf8.prefix(400)) + [0x0a, 0]
        bytes = program + [UInt8](repeating: 0, count: 510 - program.count) + [0x55, 0xaa]
    }
}
