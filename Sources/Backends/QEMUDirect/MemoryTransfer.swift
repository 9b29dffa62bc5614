import BuildOSKit
import Glibc
import QMP

/// Writes the memory of a machine that stands still to a file: QEMU's migration stream.
struct MemorySave {
    let session: MachineSession
    let file: FilePath

    func run() async throws(VirtualMachineError) {
        let temporary = file.removingLastComponent()
            .appending(".\(file.lastComponent?.string ?? "memory").\(UInt64.random(in: .min ... .max))")
        let descriptor: FileDescriptor
        do {
            descriptor = try FileDescriptor.open(
                temporary,
                .writeOnly,
                options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: .ownerReadWrite
            )
        } catch {
            throw session.error(.missingResource, "can't make \(temporary): \(error)")
        }
        do throws(VirtualMachineError) {
            try await transfer(to: descriptor)
            let outcome = await DedicatedThread.run(name: "qemu-sync") {
                fsync(descriptor.rawValue) == 0 && rename(temporary.string, file.string) == 0
                    ? nil : Errno(rawValue: errno)
            }
            if let outcome { throw session.error(.refused, "can't write \(file): \(outcome)") }
            FileTree.synchronize(file.removingLastComponent())
            try? descriptor.close()
        } catch {
            unlink(temporary.string)
            try? descriptor.close()
            throw error
        }
    }

    private func transfer(to descriptor: FileDescriptor) async throws(VirtualMachineError) {
        let migration = Migration(session: session)
        try await migration.prepare(descriptor)
        // A file is as fast as it is; the default holds back for a network's sake.
        try await session.execute("migrate-set-parameters", ["max-bandwidth": .integer(1 << 40)])
        let events = session.connection.events()
        try await session.execute("migrate", ["uri": .string("fd:\(Migration.descriptorName)")])
        do throws(VirtualMachineError) {
            try await migration.finish(events)
        } catch {
            // Also if it was this task that was cancelled.
            _ = await Task { try? await session.execute("migrate_cancel") }.value
            throw error
        }
    }
}

/// Starts a machine from what ``MemorySave`` wrote.
struct MemoryRestore {
    let session: MachineSession
    let descriptor: FileDescriptor

    func run() async throws(VirtualMachineError) {
        let migration = Migration(session: session)
        try await migration.prepare(descriptor)
        let events = session.connection.events()
        try await session.execute("migrate-incoming", ["uri": .string("fd:\(Migration.descriptorName)")])
        try await migration.finish(events)
    }
}

/// One of QEMU's migrations, in or out (its qapi/migration.json).
struct Migration {
    let session: MachineSession

    /// The name under which QEMU holds the descriptor until it takes it.
    static let descriptorName = "memory"

    /// Has its progress told, and gives QEMU the file.
    func prepare(_ descriptor: FileDescriptor) async throws(VirtualMachineError) {
        let capability: JSONValue = ["capability": "events", "state": true]
        try await session.execute("migrate-set-capabilities", ["capabilities": [capability]])
        try await session.execute(
            "getfd",
            ["fdname": .string(Self.descriptorName)],
            descriptor: descriptor.rawValue
        )
    }

    /// Waits for the end.
    func finish(_ events: AsyncStream<QMPEvent>) async throws(VirtualMachineError) {
        for await event in events where event.name == "MIGRATION" {
            switch event.data["status"]?.string {
            case "completed": return
            case "failed", "cancelled":
                let words = try await session.execute("query-migrate")["error-desc"]?.string
                throw session.error(.refused, words ?? "the memory could not be moved")
            default: continue
            }
        }
        if Task.isCancelled { throw session.error(.cancelled, "cancelled") }
        throw await session.explain(.closed)
    }
}
