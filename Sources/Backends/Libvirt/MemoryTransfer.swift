import BuildOSKit
import Glibc

internal import CLibvirt

/// Moves the memory and devices of a domain to a file and back, by QEMU's own migration.
///
/// Not by virDomainSave: that ends the machine, and its file starts a machine of the same name and disks only.
struct MemoryTransfer {
    let session: HypervisorSession
    let uuid: String
    let name: VirtualMachineName

    private static let descriptorName = "buildos-memory"

    /// Writes a paused machine's memory to a file, which appears whole or not at all.
    func save(to file: FilePath) async throws(VirtualMachineError) {
        let temporary = FilePath("\(file.string).partial-\(uuid)")
        let descriptor: FileDescriptor
        do {
            descriptor = try FileDescriptor.open(
                temporary,
                .writeOnly,
                options: [.create, .truncate, .noFollow, .closeOnExec],
                permissions: .ownerReadWrite
            )
        } catch {
            throw failure(.missingResource, "can't write \(temporary): \(error)")
        }
        do throws(VirtualMachineError) {
            do throws(VirtualMachineError) {
                try await perform(.refused) { monitor throws(LibvirtFailure) in
                    try monitor.send(descriptor, as: Self.descriptorName)
                    try monitor.beginSaving(to: Self.descriptorName)
                }
                try await waitForCompletion(failing: .refused, cancel: true)
                guard fsync(descriptor.rawValue) == 0 else {
                    throw failure(.refused, "can't write \(temporary): \(Errno(rawValue: errno))")
                }
            } catch {
                try? descriptor.close()
                throw error
            }
            do { try descriptor.close() } catch { throw failure(.refused, "can't write \(temporary): \(error)") }
            guard rename(temporary.string, file.string) == 0 else {
                throw failure(.refused, "can't write \(file): \(Errno(rawValue: errno))")
            }
            FileTree.synchronize(file.removingLastComponent())
        } catch {
            unlink(temporary.string)
            throw error
        }
    }

    /// Gives a machine that awaits it the memory that a file holds. The machine then stands where the saved one stood.
    func restore(from file: FilePath) async throws(VirtualMachineError) {
        let descriptor: FileDescriptor
        do {
            descriptor = try FileDescriptor.open(file, .readOnly, options: .closeOnExec)
        } catch {
            throw failure(.missingResource, "can't read the saved memory \(file): \(error)")
        }
        defer { try? descriptor.close() }
        try await perform(.badSnapshot) { monitor throws(LibvirtFailure) in
            try monitor.send(descriptor, as: Self.descriptorName)
            try monitor.beginRestoring(from: Self.descriptorName)
        }
        try await waitForCompletion(failing: .badSnapshot, cancel: false)
    }

    private func waitForCompletion(
        failing kind: VirtualMachineError.Kind,
        cancel: Bool
    ) async throws(VirtualMachineError) {
        var pause = Duration.milliseconds(2)
        while true {
            let progress = try await perform(kind) { monitor throws(LibvirtFailure) in try monitor.migrationStatus() }
            switch progress.status {
            case "completed": return
            case "failed", "cancelled":
                throw failure(kind, "QEMU gave up: \(progress.errorDescription ?? "it gives no reason")")
            default: break
            }
            do {
                try await Task.sleep(for: pause)
            } catch {
                if cancel {
                    try? await perform(kind) { monitor throws(LibvirtFailure) in try monitor.cancelSaving() }
                }
                throw failure(.cancelled, "the task was cancelled")
            }
            pause = min(pause * 2, .milliseconds(50))
        }
    }

    private func perform<Success: Sendable>(
        _ kind: VirtualMachineError.Kind,
        _ body: @escaping @Sendable (QEMUMonitor) throws(LibvirtFailure) -> Success
    ) async throws(VirtualMachineError) -> Success {
        do throws(LibvirtFailure) {
            return try await session.call(domain: uuid) { (domain: virDomainPtr) throws(LibvirtFailure) in
                try body(QEMUMonitor(domain))
            }
        } catch  where error.isAboutNothing && kind == .badSnapshot {
            throw failure(kind, "QEMU died of it: the file is no saved memory, or of a machine that was made otherwise")
        } catch {
            throw error.error(of: name.description, at: session.uri, otherwise: kind)
        }
    }

    private func failure(_ kind: VirtualMachineError.Kind, _ detail: String) -> VirtualMachineError {
        VirtualMachineError(kind, machine: name.description, detail: detail)
    }
}
