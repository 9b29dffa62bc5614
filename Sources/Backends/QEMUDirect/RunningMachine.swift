import BuildOSKit
import QMP

/// A machine that runs, as policy sees it.
final class RunningMachine: VirtualMachine {
    private let session: MachineSession
    private let isFound: Bool

    /// - Parameter isFound: whether others may want its socket when nobody refers to this any more.
    init(_ session: MachineSession, isFound: Bool) {
        self.session = session
        self.isFound = isFound
    }

    deinit { if isFound { session.release() } }

    var name: VirtualMachineName { session.record.name }
    var processID: Int32? { session.process.id }

    func state() async throws(VirtualMachineError) -> VirtualMachineState {
        do throws(VirtualMachineError) {
            let status = try await session.execute("query-status")["status"]?.string
            return Self.state(status ?? "unknown")
        } catch {
            if let exit = session.exit { return .ended(exit) }
            throw error
        }
    }

    /// What a status of QEMU means (RunState in its qapi/run-state.json).
    static func state(_ status: String) -> VirtualMachineState {
        switch status {
        case "running": .running
        case "guest-panicked": .panicked
        // Stopped by somebody's command, before its first instruction, or after its memory was saved.
        case "paused", "prelaunch", "postmigrate", "finish-migrate", "save-vm", "restore-vm", "inmigrate":
            .paused(reason: nil)
        case "io-error": .paused(reason: "a disk failed")
        case "suspended": .paused(reason: "the guest sleeps")
        default: .paused(reason: status)
        }
    }

    func pause() async throws(VirtualMachineError) { try await session.execute("stop") }

    func resume() async throws(VirtualMachineError) { try await session.execute("cont") }

    func reset() async throws(VirtualMachineError) {
        guard session.record.endsOnReset else {
            try await session.execute("system_reset")
            return
        }
        // What ends a machine when its guest resets it would end it now as well.
        if session.record.firmwareResets {
            session.expectFirmwareReset()
            try await session.execute("set-action", ["reboot": "reset"])
            try await session.execute("system_reset")
            return
        }
        let events = session.connection.events()
        try await session.execute("set-action", ["reboot": "reset"])
        try await session.execute("system_reset")
        for await event in events where event.name == "RESET" { break }
        try await session.execute("set-action", ["reboot": "shutdown"])
    }

    func powerDown() async throws(VirtualMachineError) { try await session.execute("system_powerdown") }

    func kill() async throws(VirtualMachineError) { await session.end(politely: true) }

    func waitUntilEnded() async throws(VirtualMachineError) -> VirtualMachineExit {
        guard let exit = await session.waitForExit() else { throw session.error(.cancelled, "cancelled") }
        return exit
    }

    func saveMemory(to file: FilePath) async throws(VirtualMachineError) {
        guard case .paused = try await state() else {
            throw session.error(.refused, "its memory changes while it runs", remedy: "pause it first")
        }
        try await MemorySave(session: session, file: file).run()
    }
}
