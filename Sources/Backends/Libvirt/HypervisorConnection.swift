import BuildOSKit
import FoundationEssentials
import Synchronization

internal import CLibvirt

/// A connection to a hypervisor that brings what happens to its domains. Every call but ``isAlive`` blocks.
final class HypervisorConnection: Sendable {
    /// libvirt's handle.
    let handle: ConnectionHandle
    private let events: ConnectionEvents
    private let registrations: [Registration]

    private enum Registration: Sendable {
        case lifecycle(Int32)
        case monitor(Int32)
    }

    /// Connects.
    ///
    /// - Parameters:
    ///   - uri: where to (libvirt.org/uri.html).
    ///   - watches: who is told of events.
    init(uri: String, watches: DomainWatches) throws(LibvirtFailure) {
        if let failure = EventLoop.failure { throw failure }
        guard let opened = virConnectOpen(uri) else { throw .last() }
        handle = ConnectionHandle(opened)
        events = ConnectionEvents(watches: watches, uri: uri)
        do throws(LibvirtFailure) {
            registrations = try Self.register(events, on: opened)
        } catch {
            virConnectClose(opened)
            throw error
        }
        // A peer that vanishes without a word is given up after 20 s; not every driver knows how.
        virConnectSetKeepAlive(opened, 5, 3)
    }

    deinit {
        let (handle, registrations) = (handle, registrations)
        let close: @Sendable () -> Void = {
            for registration in registrations {
                switch registration {
                case .lifecycle(let id): virConnectDomainEventDeregisterAny(handle.pointer, id)
                case .monitor(let id): virConnectDomainQemuMonitorEventDeregister(handle.pointer, id)
                }
            }
            virConnectUnregisterCloseCallback(handle.pointer, Self.onClose)
            virConnectClose(handle.pointer)
        }
        do throws(Errno) {
            try DedicatedThread.start(name: "libvirt-close", close)
        } catch {
            close()
        }
    }

    /// Whether the other side is still there, as far as is known.
    var isAlive: Bool { !events.isLost.load(ordering: .acquiring) && virConnectIsAlive(handle.pointer) == 1 }

    private static func register(
        _ events: ConnectionEvents,
        on connection: virConnectPtr
    ) throws(LibvirtFailure) -> [Registration] {
        var registrations: [Registration] = []
        let lifecycle = retained(events) { clibvirt_register_lifecycle(connection, onLifecycle, $0, release) }
        guard lifecycle >= 0 else { throw .last() }
        registrations.append(.lifecycle(lifecycle))
        // Only QEMU has these; without them a reset can't be told from a shutdown.
        for name in ["SHUTDOWN", "RESET"] {
            let id = retained(events) {
                virConnectDomainQemuMonitorEventRegister(connection, nil, name, onMonitorEvent, $0, release, 0)
            }
            if id >= 0 { registrations.append(.monitor(id)) }
        }
        _ = retained(events) { virConnectRegisterCloseCallback(connection, onClose, $0, release) }
        return registrations
    }

    /// Hands libvirt a reference, which its release function gives back; at once if libvirt did not take it.
    private static func retained(
        _ events: ConnectionEvents,
        _ register: (UnsafeMutableRawPointer) -> Int32
    ) -> Int32 {
        let reference = Unmanaged.passRetained(events)
        let result = register(reference.toOpaque())
        if result < 0 { reference.release() }
        return result
    }

    private static let release: @convention(c) (UnsafeMutableRawPointer?) -> Void = { context in
        if let context { Unmanaged<ConnectionEvents>.fromOpaque(context).release() }
    }

    private static let onLifecycle:
        @convention(c) (virConnectPtr?, virDomainPtr?, Int32, Int32, UnsafeMutableRawPointer?) -> Int32 = {
            _,
            domain,
            event,
            detail,
            context in
            guard event == Int32(VIR_DOMAIN_EVENT_STOPPED.rawValue) else { return 0 }
            ConnectionEvents.watch(domain, context)?.heardEnd(DomainStop(detail))
            return 0
        }

    private static let onMonitorEvent:
        @convention(c) (
            virConnectPtr?, virDomainPtr?, UnsafePointer<CChar>?, Int64, UInt32, UnsafePointer<CChar>?,
            UnsafeMutableRawPointer?
        ) -> Void = { _, domain, name, _, _, details, context in
            guard let name, let details, let watch = ConnectionEvents.watch(domain, context) else { return }
            let cause = MonitorEventDetails.reason(in: String(cString: details))
            switch String(cString: name) {
            case "SHUTDOWN": watch.heardShutdown(cause: cause ?? "unknown")
            case "RESET" where cause == "guest-reset": watch.heardGuestReset()
            default: break
            }
        }

    private static let onClose: @convention(c) (virConnectPtr?, Int32, UnsafeMutableRawPointer?) -> Void = {
        _,
        _,
        context in
        if let context { Unmanaged<ConnectionEvents>.fromOpaque(context).takeUnretainedValue().lost() }
    }
}

/// libvirt's handle of a connection, for use by any thread.
///
/// Safe to share: libvirt's calls may be made by several threads at once on one connection (libvirt.org/html, "virConnectPtr"),
/// and ``HypervisorConnection``, which everybody reaches it through, closes it when nobody refers to it any more.
struct ConnectionHandle: @unchecked Sendable {
    let pointer: virConnectPtr

    init(_ pointer: virConnectPtr) { self.pointer = pointer }
}

/// What a connection's callbacks are given.
private final class ConnectionEvents: Sendable {
    let isLost = Atomic(false)
    private let watches: DomainWatches
    private let uri: String

    init(watches: DomainWatches, uri: String) {
        self.watches = watches
        self.uri = uri
    }

    func lost() {
        isLost.store(true, ordering: .releasing)
        watches.lost(uri: uri)
    }

    static func watch(_ domain: virDomainPtr?, _ context: UnsafeMutableRawPointer?) -> DomainWatch? {
        guard let domain, let context, let uuid = DomainIdentity.uuid(of: domain) else { return nil }
        return Unmanaged<ConnectionEvents>.fromOpaque(context).takeUnretainedValue().watches[uuid]
    }
}

/// The part of a QEMU event's data that says why.
private struct MonitorEventDetails: Decodable {
    let reason: String?

    static func reason(in json: String) -> String? {
        guard json.utf8.count < 1 << 16 else { return nil }
        return (try? JSONDecoder().decode(Self.self, from: Data(json.utf8)))?.reason
    }
}

/// The identities of domains.
enum DomainIdentity {
    /// As libvirt writes it: 36 hex digits and dashes, in lower case.
    static func uuid(of domain: virDomainPtr) -> String? {
        var text = [CChar](repeating: 0, count: Int(VIR_UUID_STRING_BUFLEN))
        guard virDomainGetUUIDString(domain, &text) == 0 else { return nil }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension DomainStop {
    fileprivate init(_ detail: Int32) {
        switch virDomainEventStoppedDetailType(rawValue: UInt32(bitPattern: detail)) {
        case VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: self = .shutdown
        case VIR_DOMAIN_EVENT_STOPPED_DESTROYED: self = .destroyed
        case VIR_DOMAIN_EVENT_STOPPED_CRASHED: self = .crashed
        case VIR_DOMAIN_EVENT_STOPPED_MIGRATED: self = .migrated
        case VIR_DOMAIN_EVENT_STOPPED_SAVED: self = .saved
        default: self = .failed
        }
    }
}
