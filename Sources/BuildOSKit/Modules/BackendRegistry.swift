/// The backends a program can choose from.
public struct BackendRegistry: Sendable {
    /// Every provider, in the order of registration.
    public private(set) var providers: [any BackendProvider] = []

    /// Creates an empty registry; embedders then register the backends they link.
    public init() {}

    /// Adds a backend.
    ///
    /// - Throws: ``BackendRegistryError`` if there is one of that name for the interface already.
    public mutating func register(_ provider: any BackendProvider) throws(BackendRegistryError) {
        let identity = provider.identity
        guard
            !providers.contains(where: {
                $0.identity.interface == identity.interface && $0.identity.name == identity.name
            })
        else { throw BackendRegistryError(.twice(identity)) }
        providers.append(provider)
    }

    /// The fetcher backend of that name, or the first one.
    public func fetcher(named name: String? = nil) throws(BackendRegistryError) -> any FetcherProvider {
        try find(.fetcher, name, as: (any FetcherProvider).self)
    }

    /// The artifact store backend of that name, or the first one.
    public func artifactStore(named name: String? = nil) throws(BackendRegistryError) -> any ArtifactStoreProvider {
        try find(.artifactStore, name, as: (any ArtifactStoreProvider).self)
    }

    /// The machine storage backend of that name, or the first one.
    public func machineStorage(named name: String? = nil) throws(BackendRegistryError) -> any MachineStorageProvider {
        try find(.machineStorage, name, as: (any MachineStorageProvider).self)
    }

    /// The machine storage for a directory: by the first backend to whose kind of volume it belongs.
    ///
    /// - Throws: ``MachineStorageError`` if there is none; ``BackendRegistryError`` if there is no backend at all.
    public func machineStorage(holding directory: FilePath) async throws -> any MachineStorage {
        _ = try machineStorage()
        for provider in providers.compactMap({ $0 as? any MachineStorageProvider }) {
            let storage = try provider.makeStorage()
            if let isVolume = try? await storage.isVolume(directory), isVolume { return storage }
        }
        throw MachineStorageError(.notAVolume, path: directory, cause: "no storage backend can keep machines there")
    }

    /// The virtual machine backend of that name, or the first one.
    public func virtualMachines(named name: String? = nil) throws(BackendRegistryError) -> any VirtualMachineProvider {
        try find(.virtualMachines, name, as: (any VirtualMachineProvider).self)
    }

    /// The transport backend of that name, or the first one.
    public func transport(named name: String? = nil) throws(BackendRegistryError) -> any TransportProvider {
        try find(.transport, name, as: (any TransportProvider).self)
    }

    /// A transport to a destination, by the first backend whose commands run where it is.
    ///
    /// - Throws: ``BackendRegistryError`` if there is none, or what the backend throws.
    public func makeTransport(to destination: TransportDestination) throws -> any Transport {
        let isRemote = destination != .thisMachine
        let candidates = providers.compactMap { $0 as? any TransportProvider }
        guard let provider = candidates.first(where: { $0.capabilities.remote == isRemote }) else {
            throw BackendRegistryError(
                .missing(.transport, name: isRemote ? "ssh" : "local", have: candidates.map(\.identity.name))
            )
        }
        return try provider.makeTransport(to: destination)
    }

    private func find<Provider>(
        _ interface: BackendInterface,
        _ name: String?,
        as type: Provider.Type
    ) throws(BackendRegistryError) -> Provider {
        let candidates = providers.filter { $0.identity.interface == interface }
        for candidate in candidates where name == nil || candidate.identity.name == name {
            guard let provider = candidate as? Provider else {
                throw BackendRegistryError(.wrongType(candidate.identity))
            }
            return provider
        }
        throw BackendRegistryError(.missing(interface, name: name, have: candidates.map(\.identity.name)))
    }
}

/// Why a backend could not be registered or found.
public struct BackendRegistryError: DiagnosableError, Hashable {
    /// What went wrong.
    public enum Problem: Sendable, Hashable {
        case twice(BackendIdentity)
        case wrongType(BackendIdentity)
        case missing(BackendInterface, name: String?, have: [String])
    }

    /// What went wrong.
    public let problem: Problem

    /// Creates an error.
    public init(_ problem: Problem) { self.problem = problem }

    public var subject: String {
        switch problem {
        case .twice(let identity), .wrongType(let identity):
            "backend '\(identity.name)' (\(identity.interface.rawValue))"
        case .missing(let interface, let name, _):
            "backend for \(interface.rawValue)" + (name.map { " named '\($0)'" } ?? "")
        }
    }
    public var cause: String {
        switch problem {
        case .twice: "registered twice"
        case .wrongType: "it does not implement the interface it registered for"
        case .missing(_, _, let have) where have.isEmpty: "no module offers it"
        case .missing(_, _, let have): "there is only \(have.joined(separator: ", "))"
        }
    }
    public var remedy: String? {
        switch problem {
        case .twice: "remove one of the modules"
        case .wrongType: "rebuild the module against this kit"
        case .missing: "'buildosctl backends' lists the modules found and what is wrong with the others"
        }
    }
}

/// What a module's entry function receives to register its backends with.
public final class ModuleRegistrar {
    /// What has been registered so far.
    private(set) var providers: [any BackendProvider] = []

    init() {}

    /// Adds a backend.
    public func register(_ provider: any BackendProvider) { providers.append(provider) }

    /// The registrar behind the pointer that the loader passes to a module's entry function.
    ///
    /// The pointer is valid for the time of that call alone.
    public static func from(_ pointer: UnsafeMutableRawPointer) -> ModuleRegistrar {
        Unmanaged<ModuleRegistrar>.fromOpaque(pointer).takeUnretainedValue()
    }
}
