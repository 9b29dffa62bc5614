import BuildOSKit
import Glibc

internal import CLibvirt

/// A domain that was started or found.
final class LibvirtMachine: VirtualMachine {
    let name: VirtualMachineName
    let processID: Int32?
    private let uuid: String
    private let session: HypervisorSession
    private let watch: DomainWatch

    /// Creates it.
    ///
    /// - Parameter note: what is removed when it has ended.
    init(
        name: VirtualMachineName,
        uuid: String,
        processID: Int32?,
        session: HypervisorSession,
        watch: DomainWatch
    ) {
        self.name = name
        self.uuid = uuid
        self.processID = processID
        self.session = session
        self.watch = watch
    }

    func state() async throws(VirtualMachineError) -> VirtualMachineState {
        if let exit = watch.exit { return .ended(exit) }
        do throws(LibvirtFailure) {
            return try await session.call(domain: uuid) { (domain: virDomainPtr) throws(LibvirtFailure) in
                try Self.state(of: domain)
            }
        } catch  where error.isAboutNothing {
            return .ended(await exitOfGone())
        } catch {
            throw error.error(of: name.description, at: session.uri)
        }
    }

    private static func state(of domain: virDomainPtr) throws(LibvirtFailure) -> VirtualMachineState {
        var (state, reason) = (Int32(0), Int32(0))
        guard virDomainGetState(domain, &state, &reason, 0) == 0 else { throw .last() }
        switch virDomainState(rawValue: UInt32(bitPattern: state)) {
        case VIR_DOMAIN_PAUSED: return .paused(reason: pauseReason(reason))
        case VIR_DOMAIN_PMSUSPENDED: return .paused(reason: "the guest sleeps")
        case VIR_DOMAIN_CRASHED: return .panicked
        case VIR_DOMAIN_SHUTOFF: return .ended(.guestShutdown)
        default: return .running
        }
    }

    private static func pauseReason(_ reason: Int32) -> String? {
        switch virDomainPausedReason(rawValue: UInt32(bitPattern: reason)) {
        case VIR_DOMAIN_PAUSED_USER, VIR_DOMAIN_PAUSED_UNKNOWN: nil
        case VIR_DOMAIN_PAUSED_IOERROR: "reading or writing a disk failed"
        case VIR_DOMAIN_PAUSED_WATCHDOG: "its watchdog fired"
        case VIR_DOMAIN_PAUSED_SAVE, VIR_DOMAIN_PAUSED_DUMP, VIR_DOMAIN_PAUSED_SNAPSHOT: "its memory is being saved"
        case VIR_DOMAIN_PAUSED_MIGRATION: "it is being moved"
        case VIR_DOMAIN_PAUSED_SHUTTING_DOWN: "it is shutting down"
        case VIR_DOMAIN_PAUSED_STARTING_UP: "it is starting"
        default: "the hypervisor stopped it (reason \(reason))"
        }
    }

    // What is so already is an error to libvirt, or to some of its drivers.
    func pause() async throws(VirtualMachineError) {
        try await perform { domain throws(LibvirtFailure) in
            guard virDomainSuspend(domain) != 0 else { return }
            let failure = LibvirtFailure.last()
            guard case .paused = try? Self.state(of: domain) else { throw failure }
        }
    }

    func resume() async throws(VirtualMachineError) {
        try await perform { domain throws(LibvirtFailure) in
            guard virDomainResume(domain) != 0 else { return }
            let failure = LibvirtFailure.last()
            guard (try? Self.state(of: domain)) == .running else { throw failure }
        }
    }

    func reset() async throws(VirtualMachineError) {
        let (session, uuid) = (session, uuid)
        // A machine that ends when it is reset would do so now, and again when its firmware resets it a second time.
        watch.atFirmwareReset {
            Task {
                try? await session.call(domain: uuid) { (domain: virDomainPtr) throws(LibvirtFailure) in
                    guard try Self.endsOnReset(domain) else { return }
                    try QEMUMonitor(domain).setRebootAction("shutdown")
                }
            }
        }
        try await perform { domain throws(LibvirtFailure) in
            if try Self.endsOnReset(domain) { try QEMUMonitor(domain).setRebootAction("reset") }
            guard virDomainReset(domain, 0) == 0 else { throw .last() }
        }
    }

    private static func endsOnReset(_ domain: virDomainPtr) throws(LibvirtFailure) -> Bool {
        guard let text = virDomainGetXMLDesc(domain, 0) else { throw .last() }
        defer { free(text) }
        return String(cString: text).contains("<on_reboot>destroy</on_reboot>")
    }

    func powerDown() async throws(VirtualMachineError) {
        try await perform { domain throws(LibvirtFailure) in
            // By ACPI, as the machines of this backend have no channel for a guest's agent.
            guard virDomainShutdown(domain) == 0 else { throw .last() }
        }
    }

    func kill() async throws(VirtualMachineError) {
        guard watch.exit == nil else { return }
        do throws(LibvirtFailure) {
            try await session.call(domain: uuid) { (domain: virDomainPtr) throws(LibvirtFailure) in
                guard virDomainDestroy(domain) == 0 else { throw .last() }
            }
        } catch  where error.isAboutNothing {
            // It has ended by itself.
        } catch {
            throw error.error(of: name.description, at: session.uri, otherwise: .timedOut)
        }
        _ = await exitOfGone(otherwise: .killed)
    }

    func waitUntilEnded() async throws(VirtualMachineError) -> VirtualMachineExit {
        // Asking makes sure that there is a connection to hear by, and that there is an end to be heard of.
        if case .ended(let exit) = try await state() { return exit }
        return try await watch.waitUntilEnded()
    }

    func saveMemory(to file: FilePath) async throws(VirtualMachineError) {
        guard session.isLocal else {
            throw .unsupported("saving the memory of a machine on another host", name, backend: LibvirtProvider.name)
        }
        guard case .paused = try await state() else {
            throw VirtualMachineError(
                .refused,
                machine: name.description,
                detail: "its memory changes while it is saved: it is not paused",
                remedy: "pause it first"
            )
        }
        try await MemoryTransfer(session: session, uuid: uuid, name: name).save(to: file)
    }

    private func perform(
        _ body: @escaping @Sendable (virDomainPtr) throws(LibvirtFailure) -> Void
    ) async throws(VirtualMachineError) {
        do throws(LibvirtFailure) {
            try await session.call(domain: uuid, body)
        } catch {
            throw error.error(of: name.description, at: session.uri)
        }
    }

    /// How a domain ended that is no more: its last event may still be on its way, or was missed.
    private func exitOfGone(
        otherwise: VirtualMachineExit = .crashed("it ended while nobody listened, so how is not known")
    ) async -> VirtualMachineExit {
        let watch = watch
        let late = Task {
            try? await Task.sleep(for: .seconds(2))
            if !Task.isCancelled { watch.settle(otherwise) }
        }
        defer { late.cancel() }
        return (try? await watch.waitUntilEnded()) ?? otherwise
    }
}
