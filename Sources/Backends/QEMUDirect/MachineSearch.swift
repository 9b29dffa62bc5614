import BuildOSKit
import Glibc
import QMP

/// Finds a machine by its runtime directory, whoever started it, and clears the directory if it is dead.
struct MachineSearch {
    let name: VirtualMachineName
    let directory: RunDirectory

    /// How long a machine that is just starting, or just ending, is waited for.
    private static let patience = 100
    private static let pause: Duration = .milliseconds(50)

    init(_ name: VirtualMachineName, in directory: RunDirectory) {
        self.name = name
        self.directory = directory
    }

    func run() async throws(VirtualMachineError) -> MachineSession? {
        for _ in 0..<Self.patience {
            guard let record = directory.record, record.name == name else { return nil }
            if isDead(record) { return nil }
            if let session = try await connect(record) { return session }
            do { try await Task.sleep(for: Self.pause) } catch { throw self.error(.cancelled, "cancelled") }
        }
        throw error(.unreachable, "it neither answers nor ends", remedy: "see \(directory.log); end its process")
    }

    /// Whether it is; then what it left is removed.
    private func isDead(_ record: MachineRecord) -> Bool {
        do throws(VirtualMachineError) {
            let lock = try NameLock(name)
            directory.removeAll(of: record)
            _ = lock.descriptor
            return true
        } catch {
            return false
        }
    }

    private func connect(_ record: MachineRecord) async throws(VirtualMachineError) -> MachineSession? {
        guard let (slot, lock) = directory.takeSlot() else {
            throw error(.unreachable, "\(RunDirectory.slots) others speak with it already")
        }
        let connection: QMPConnection
        do throws(QMPError) {
            connection = try QMPConnection(connectingTo: directory.socket(slot).string)
        } catch {
            try? lock.close()
            return nil
        }
        guard let id = connection.peerProcess, let process = try? HypervisorProcess(id, isChild: false) else {
            try? lock.close()
            return nil
        }
        let session = MachineSession(
            record: record,
            directory: directory,
            process: process,
            connection: connection
        )
        do throws(VirtualMachineError) {
            try session.follow(holding: lock)
        } catch {
            try? lock.close()
            throw error
        }
        do throws(QMPError) {
            try await connection.negotiate()
            return session
        } catch {
            session.release()
            if error == .closed { return nil }
            throw await session.explain(error)
        }
    }

    private func error(
        _ kind: VirtualMachineError.Kind,
        _ detail: String,
        remedy: String? = nil
    ) -> VirtualMachineError {
        VirtualMachineError(kind, machine: name.description, detail: detail, remedy: remedy)
    }
}
