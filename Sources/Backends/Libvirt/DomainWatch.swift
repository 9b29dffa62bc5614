import BuildOSKit
import Synchronization

/// What is heard of one domain, from when somebody began to listen.
///
/// libvirt forgets a domain when it ends, and says why only to those who listen at that moment.
final class DomainWatch: Sendable {
    typealias Outcome = Result<VirtualMachineExit, VirtualMachineError>

    private struct State {
        /// The reason of QEMU's first SHUTDOWN event (qapi/run-state.json, ShutdownCause).
        var shutdownCause: String?
        var isEnding = false
        var exit: VirtualMachineExit?
        var waiters: [UInt64: CheckedContinuation<Outcome, Never>] = [:]
        var cancelled: Set<UInt64> = []
        var nextWaiter: UInt64 = 0
        var atEnd: (@Sendable () -> Void)?
        var atFirmwareReset: (@Sendable () -> Void)?
    }

    private let name: String
    private let state = Mutex(State())

    /// Begins to listen; what ``DomainWatches`` calls.
    init(name: String) { self.name = name }

    /// How it ended, if it has.
    var exit: VirtualMachineExit? { state.withLock { $0.exit } }

    /// Has something done once it has ended, before anybody is told: at once if that is so already.
    func atEnd(_ action: @escaping @Sendable () -> Void) {
        let hasEnded = state.withLock { state in
            if !state.isEnding { state.atEnd = action }
            return state.isEnding
        }
        if hasEnded { action() }
    }

    /// Has something done when the guest's firmware resets the machine a second time, as SeaBIOS does after the reset
    /// button was pressed: its copy in memory survives the first, and it loads itself anew by another.
    func atFirmwareReset(_ action: @escaping @Sendable () -> Void) {
        state.withLock { $0.atFirmwareReset = action }
    }

    /// QEMU is shutting down.
    func heardShutdown(cause: String) {
        state.withLock { state in
            if state.shutdownCause == nil { state.shutdownCause = cause }
        }
    }

    /// The guest reset the machine.
    func heardGuestReset() {
        let action = state.withLock { state in
            defer { state.atFirmwareReset = nil }
            return state.atFirmwareReset
        }
        action?()
    }

    /// The domain has ended, in libvirt's words for how.
    func heardEnd(_ stop: DomainStop) {
        let cause = state.withLock { $0.shutdownCause }
        settle(Self.exit(of: stop, cause: cause))
    }

    /// The domain is gone, and nothing has been or will be heard of how; what was heard before counts more.
    func settle(_ exit: VirtualMachineExit) {
        let action: (@Sendable () -> Void)? = state.withLock { state in
            guard !state.isEnding else { return nil }
            state.isEnding = true
            defer { state.atEnd = nil }
            return state.atEnd ?? {}
        }
        guard let action else { return }
        action()
        let waiters: [CheckedContinuation<Outcome, Never>] = state.withLock { state in
            state.exit = exit
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter.resume(returning: .success(exit)) }
    }

    /// Nothing more can be heard, as the connection is lost: whoever waits is told so.
    func lost(uri: String) {
        let error = VirtualMachineError(
            .unreachable,
            machine: name,
            detail: "the connection to libvirt at \(uri) was lost while its end was waited for",
            remedy: "it may run on: find it again when libvirt's service is back"
        )
        let waiters: [CheckedContinuation<Outcome, Never>] = state.withLock { state in
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter.resume(returning: .failure(error)) }
    }

    private static func exit(of stop: DomainStop, cause: String?) -> VirtualMachineExit {
        switch (cause, stop) {
        case ("guest-reset", _): .guestReset
        case ("guest-shutdown", _), (nil, .shutdown): .guestShutdown
        // By the human monitor, or a signal that asks to end.
        case ("host-qmp-quit", _), ("host-qmp-system-reset", _), ("host-signal", _), ("host-ui", _): .killed
        case (_, .destroyed): .killed
        case (_, let stop): .crashed(stop.words)
        }
    }

    /// How it ended, when it does.
    ///
    /// - Throws: `VirtualMachineError` of kind `cancelled`, or `unreachable` if nothing more can be heard.
    func waitUntilEnded() async throws(VirtualMachineError) -> VirtualMachineExit {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        let cancelled = VirtualMachineError(.cancelled, machine: name, detail: "the wait was cancelled")
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Outcome, Never>) in
                let known: Outcome? = state.withLock { state in
                    if let exit = state.exit { return .success(exit) }
                    if state.cancelled.remove(id) != nil { return .failure(cancelled) }
                    state.waiters[id] = continuation
                    return nil
                }
                if let known { continuation.resume(returning: known) }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                let waiter = state.waiters.removeValue(forKey: id)
                if waiter == nil { state.cancelled.insert(id) }
                return waiter
            }
            waiter?.resume(returning: .failure(cancelled))
        }
        return try outcome.get()
    }
}

/// How libvirt says that a domain ended (virDomainEventStoppedDetailType).
enum DomainStop: Sendable {
    case shutdown, destroyed, crashed, migrated, saved, failed

    fileprivate var words: String {
        switch self {
        case .shutdown: "it was shut down"
        case .destroyed: "it was killed"
        case .crashed: "libvirt says that it crashed"
        case .migrated: "it was moved to another host"
        case .saved: "somebody had libvirt save it"
        case .failed: "QEMU died; its last words are in libvirt's log of the machine"
        }
    }
}

/// The domains that somebody listens to.
final class DomainWatches: Sendable {
    private struct Entry { weak var watch: DomainWatch? }

    private let entries = Mutex<[String: Entry]>([:])

    /// Listens to a domain, with whoever does already.
    func watch(_ uuid: String, name: VirtualMachineName) -> DomainWatch {
        entries.withLock { entries in
            if let watch = entries[uuid]?.watch { return watch }
            entries = entries.filter { $0.value.watch != nil }
            let watch = DomainWatch(name: name.description)
            entries[uuid] = Entry(watch: watch)
            return watch
        }
    }

    /// Whoever listens to a domain.
    subscript(uuid: String) -> DomainWatch? { entries.withLock { $0[uuid]?.watch } }

    /// The connection was lost, and events with it.
    func lost(uri: String) {
        for entry in entries.withLock({ Array($0.values) }) { entry.watch?.lost(uri: uri) }
    }
}
