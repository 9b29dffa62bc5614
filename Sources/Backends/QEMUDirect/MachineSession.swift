import BuildOSKit
import QMP
import Synchronization

/// What this process knows of a machine that runs: its process, the connection to it, and how it ended. A thread follows
/// it to its end and then removes what is left of it.
final class MachineSession: Sendable {
    let record: MachineRecord
    let directory: RunDirectory
    let process: HypervisorProcess
    let connection: QMPConnection

    private struct State {
        var shutdownReason: String?
        var isKilled = false
        /// Whether the next reset by the guest is the firmware's answer to ours.
        var expectsFirmwareReset = false
        var isReleased = false
        var exit: VirtualMachineExit?
        var lastID = 0
        var waiting: [Int: CheckedContinuation<VirtualMachineExit?, Never>] = [:]
    }
    private let state = Mutex(State())

    init(
        record: MachineRecord,
        directory: RunDirectory,
        process: HypervisorProcess,
        connection: QMPConnection
    ) {
        self.record = record
        self.directory = directory
        self.process = process
        self.connection = connection
    }

    var name: String { record.name.description }

    /// How it ended; `nil` if it hasn't.
    var exit: VirtualMachineExit? { state.withLock { $0.exit } }

    /// Starts the thread that follows the machine.
    ///
    /// - Parameter slot: what holds the socket of the connection, closed with it.
    func follow(holding slot: FileDescriptor? = nil) throws(VirtualMachineError) {
        do throws(Errno) {
            try DedicatedThread.start(name: "qemu-\(name)") {
                self.connection.serve { self.note($0) }
                try? slot?.close()
                if self.state.withLock({ $0.isReleased }) { return }
                self.conclude(self.process.wait())
            }
        } catch {
            throw self.error(.cannotStart, "no thread: \(error)")
        }
    }

    /// Ends the connection of a machine that was found and is of no interest any more. It runs on.
    func release() {
        state.withLock { $0.isReleased = true }
        connection.close()
    }

    /// Waits for the end; `nil` if the task was cancelled.
    func waitForExit() async -> VirtualMachineExit? {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isSettled = state.withLock { state in
                    guard state.exit == nil, !Task.isCancelled else { return true }
                    state.waiting[id] = continuation
                    return false
                }
                if isSettled { continuation.resume(returning: exit) }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: id) }?.resume(returning: nil)
        }
    }

    /// Waits for the end for some time; `nil` if it did not come, or the task was cancelled.
    func waitForExit(within limit: Duration) async -> VirtualMachineExit? {
        let waiting = Task { await waitForExit() }
        let timer = Task {
            try? await Task.sleep(for: limit)
            waiting.cancel()
        }
        defer { timer.cancel() }
        return await withTaskCancellationHandler {
            await waiting.value
        } onCancel: {
            waiting.cancel()
        }
    }

    /// Ends the process, by asking if there is time for that, and waits until nothing is left. Deaf to cancellation.
    func end(politely: Bool) async {
        state.withLock { $0.isKilled = true }
        await Task {
            if politely, self.exit == nil {
                _ = try? await self.connection.execute("quit", timeLimit: Self.politeness)
                _ = await self.waitForExit(within: Self.politeness)
            }
            self.process.kill()
            _ = await self.waitForExit()
        }.value
    }

    /// How long QEMU has to write out what it keeps and go, before it is killed.
    private static let politeness: Duration = .seconds(5)

    /// After a reset by the host, SeaBIOS finds its memory used, and resets the machine itself, once or twice, to begin
    /// with clean memory. Only after that may a reset end the machine again.
    func expectFirmwareReset() { state.withLock { $0.expectsFirmwareReset = true } }

    private func endOnResetAgain() {
        let isDue = state.withLock { state in
            defer { state.expectsFirmwareReset = false }
            return state.expectsFirmwareReset
        }
        guard isDue else { return }
        Task {
            try? await Task.sleep(for: Self.firmwareResets)
            _ = try? await connection.execute("set-action", ["reboot": "shutdown"])
        }
    }

    /// The time within which the firmware's resets come one after the other, and no system is booted yet.
    private static let firmwareResets: Duration = .milliseconds(500)

    private func note(_ event: QMPEvent) {
        if event.name == "RESET", event.data["guest"]?.bool == true { endOnResetAgain() }
        // The first one counts: a guest that shut down is then told to quit as well.
        if event.name == "SHUTDOWN", let reason = event.data["reason"]?.string {
            state.withLock { if $0.shutdownReason == nil { $0.shutdownReason = reason } }
        }
    }

    private func conclude(_ end: HypervisorProcess.End) {
        let words = directory.lastWords
        let ranOutOfMemory = record.cgroup.map { MemoryCgroup(path: $0).ranOutOfMemory } ?? false
        directory.removeAll(of: record)
        let (exit, waiting) = state.withLock { state in
            let exit = Self.exit(
                end,
                reason: state.shutdownReason,
                isKilled: state.isKilled,
                words: ranOutOfMemory ? "it used more memory than its limit" : words
            )
            state.exit = exit
            defer { state.waiting = [:] }
            return (exit, Array(state.waiting.values))
        }
        for continuation in waiting { continuation.resume(returning: exit) }
    }

    /// What the process's end means, with what QEMU said of its reason (ShutdownCause in QEMU's qapi/run-state.json).
    static func exit(
        _ end: HypervisorProcess.End,
        reason: String?,
        isKilled: Bool,
        words: String
    ) -> VirtualMachineExit {
        switch reason {
        case "guest-shutdown": return .guestShutdown
        case "guest-reset": return .guestReset
        // By the human monitor, or a signal that asks to end.
        case "host-qmp-quit", "host-qmp-system-reset", "host-signal", "host-ui": return .killed
        default: break
        }
        if isKilled { return .killed }
        let ending =
            switch end {
            case .exited(let code): "exit status \(code)"
            case .signalled(let signal): "signal \(signal)"
            case .unknown: "it is gone"
            }
        return .crashed(words.isEmpty ? ending : "\(ending): \(words)")
    }

    func error(
        _ kind: VirtualMachineError.Kind,
        _ detail: String,
        remedy: String? = nil
    ) -> VirtualMachineError {
        VirtualMachineError(kind, machine: name, detail: detail, remedy: remedy)
    }

    /// Has QEMU carry out a command.
    @discardableResult
    func execute(
        _ command: String,
        _ arguments: [String: JSONValue] = [:],
        descriptor: Int32? = nil
    ) async throws(VirtualMachineError) -> JSONValue {
        if let exit { throw error(.notRunning, "it has ended: \(exit)") }
        do throws(QMPError) {
            return try await connection.execute(command, arguments, descriptor: descriptor)
        } catch {
            throw await explain(error)
        }
    }

    /// What became of a command.
    func explain(_ cause: QMPError) async -> VirtualMachineError {
        switch cause {
        case .failed(_, let description): return error(.refused, description)
        case .timedOut: return error(.timedOut, cause.description)
        case .cancelled: return error(.cancelled, "cancelled")
        case .closed:
            // The connection ends a moment before the process.
            if let exit = await waitForExit(within: .seconds(10)) {
                return error(.notRunning, "it has ended: \(exit)")
            }
            return error(.unreachable, cause.description)
        case .malformed, .notReading, .cannotConnect: return error(.unreachable, cause.description)
        }
    }
}
