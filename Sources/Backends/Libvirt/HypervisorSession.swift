import BuildOSKit

internal import CLibvirt

/// Keeps a connection to one hypervisor, and makes another when it was lost.
actor HypervisorSession {
    /// Where to (libvirt.org/uri.html).
    nonisolated let uri: String
    /// Whether that is this machine.
    nonisolated let isLocal: Bool
    /// Who listens to its domains.
    nonisolated let watches = DomainWatches()

    private var current: HypervisorConnection?
    private var opening: Task<Result<HypervisorConnection, LibvirtFailure>, Never>?

    /// A session without a connection: that is made when it is first needed.
    init(uri: String) {
        self.uri = uri
        isLocal = Self.isLocal(uri)
    }

    /// Whether an address has no host: `qemu:///system`, `qemu+unix:///system?socket=…`.
    static func isLocal(_ uri: String) -> Bool {
        guard let authority = uri.firstRange(of: "://")?.upperBound else { return true }
        return uri[authority...].hasPrefix("/")
    }

    private func connection() async throws(LibvirtFailure) -> HypervisorConnection {
        if let current, current.isAlive { return current }
        current = nil
        let task =
            opening
            ?? Task { [uri, watches] in
                do throws(LibvirtFailure) {
                    return .success(
                        try await DedicatedThread.run(name: "libvirt-open") { () throws(LibvirtFailure) in
                            try HypervisorConnection(uri: uri, watches: watches)
                        }
                    )
                } catch {
                    return .failure(error)
                }
            }
        opening = task
        let result = await task.value
        if opening == task { opening = nil }
        let connection = try result.get()
        current = connection
        return connection
    }

    /// Makes calls on a thread of their own.
    nonisolated func call<Success: Sendable>(
        _ body: @escaping @Sendable (virConnectPtr) throws(LibvirtFailure) -> Success
    ) async throws(LibvirtFailure) -> Success {
        let connection = try await connection()
        return try await DedicatedThread.run(name: "libvirt") { () throws(LibvirtFailure) in
            // The object, not just the handle, is held until the call returns.
            try withExtendedLifetime(connection) { () throws(LibvirtFailure) in try body(connection.handle.pointer) }
        }
    }

    /// Makes calls about a domain, which fail if there is none.
    nonisolated func call<Success: Sendable>(
        domain uuid: String,
        _ body: @escaping @Sendable (virDomainPtr) throws(LibvirtFailure) -> Success
    ) async throws(LibvirtFailure) -> Success {
        try await call { (connection: virConnectPtr) throws(LibvirtFailure) in
            guard let domain = virDomainLookupByUUIDString(connection, uuid) else { throw .last() }
            defer { virDomainFree(domain) }
            return try body(domain)
        }
    }
}
