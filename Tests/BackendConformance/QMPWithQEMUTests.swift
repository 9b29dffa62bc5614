import BuildOSKit
import Glibc
import QMP
import QEMUDirect
import TestSupport
import Testing

@Suite("QMP, with QEMU") struct QMPWithQEMUTests {
    @Test("QEMU greets, answers, tells events, takes descriptors and ends")
    func session() async throws {
        guard await Self.isThere() else { return }
        try await withTemporaryDirectory { directory in
            let definition = try Self.definition(in: directory)
            let machine = try await QEMUDirect().start(definition)
            let connection = try QMPConnection(connectingTo: definition.runtimeDirectory.appending("qmp-0").string)
            try DedicatedThread.start(name: "qmp-client") { connection.serve() }
            let greeting = try await connection.negotiate()
            #expect(greeting.version.split(separator: ".").count == 3)
            #expect(connection.peerProcess == machine.processID)
            // Two hundred kilobytes in one line.
            let schema = try await connection.execute("query-qmp-schema")
            #expect((schema.array?.count ?? 0) > 100)
            await #expect(throws: QMPError.self) { try await connection.execute("no-such-command") }

            let file = try FileDescriptor.open("/dev/zero", .readOnly)
            defer { try? file.close() }
            let set = try await connection.execute("add-fd", ["opaque": "zero"], descriptor: file.rawValue)
            #expect(set["fd"]?.integer != nil)
            let sets = try await connection.execute("query-fdsets")
            #expect(sets.array?.first?["fds"]?.array?.first?["opaque"] == "zero")
            // Without a descriptor there is none to give a name to.
            await #expect(throws: QMPError.self) { try await connection.execute("getfd", ["fdname": "none"]) }

            let events = connection.events()
            try await connection.execute("stop")
            try await connection.execute("quit")
            var names: [String] = []
            for await event in events { names.append(event.name) }
            #expect(names == ["STOP", "SHUTDOWN"])
            #expect(try await machine.waitUntilEnded() == .killed)
        }
    }

    @Test("a QEMU that dies at start is told with its words")
    func dies() async throws {
        try await withTemporaryDirectory { directory in
            let program = directory.appending("qemu")
            try FileTree.write(
                "#!/bin/sh\necho 'qemu-system-x86_64: -cpu: no such model' >&2\nexit 1\n",
                to: program,
                permissions: [.ownerReadWriteExecute]
            )
            let definition = try Self.definition(in: directory)
            let error = await #expect(throws: VirtualMachineError.self) {
                _ = try await QEMUDirect(program: program.string).start(definition)
            }
            #expect(error?.kind == .cannotStart)
            #expect(
                error?.description
                    == "virtual machine '\(definition.name)': exit status 1: -cpu: no such model"
            )
            #expect(try FileTree.names(in: definition.runtimeDirectory).isEmpty)
        }
    }

    @Test("a start that is cancelled while QEMU is silent leaves no process")
    func cancelled() async throws {
        try await withTemporaryDirectory { directory in
            // Says that it is there, and nothing after that.
            let program = directory.appending("qemu")
            let pipe = directory.appending("started")
            #expect(mkfifo(pipe.string, 0o600) == 0)
            try FileTree.write(
                "#!/bin/sh\necho $$ >\(pipe)\nexec sleep 1000\n",
                to: program,
                permissions: [.ownerReadWriteExecute]
            )
            let definition = try Self.definition(in: directory)
            let start = Task { _ = try await QEMUDirect(program: program.string).start(definition) }
            let process = try await DedicatedThread.run(name: "fifo") { () throws(FileError) in
                try FileTree.readText(pipe)
            }
            start.cancel()
            let error = await #expect(throws: VirtualMachineError.self) { try await start.value }
            #expect(error?.kind == .cancelled)
            #expect(kill(try #require(pid_t(process.filter(\.isNumber))), 0) != 0)
            #expect(try FileTree.names(in: definition.runtimeDirectory).isEmpty)
        }
    }

    @Test("a program that isn't there is told with the remedy")
    func missing() async throws {
        try await withTemporaryDirectory { directory in
            let definition = try Self.definition(in: directory)
            let error = await #expect(throws: VirtualMachineError.self) {
                _ = try await QEMUDirect(program: "/nonexistent/qemu").start(definition)
            }
            #expect(
                error?.description == "virtual machine '\(definition.name)': there is no program /nonexistent/qemu "
                    + "(install the package qemu-system-x86)"
            )
        }
    }

    private static func isThere() async -> Bool {
        Requirements.isMet(await QEMUDirectProvider().preflight().isEmpty, "there is no qemu-system-x86_64")
    }

    /// A machine with an empty disk, at which its firmware gives up.
    private static func definition(in directory: FilePath) throws -> VirtualMachineDefinition {
        let name = "qmp-\(UInt32.random(in: .min ... .max))"
        let runtime = directory.appending("run")
        try FileTree.makeDirectory(runtime)
        try FileTree.write([UInt8](repeating: 0, count: 4096), to: directory.appending("disk"))
        var definition = VirtualMachineDefinition(
            name: try #require(VirtualMachineName(name)),
            memory: MemorySize(kibibytes: 32 << 10),
            cpus: 1,
            boot: .devices([.disk]),
            runtimeDirectory: runtime
        )
        definition.disks = [VirtualDisk(directory.appending("disk"))]
        return definition
    }
}
