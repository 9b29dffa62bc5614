import BuildOSKit

extension FetcherSuite: ConformanceSuite {
    public static var interface: BackendInterface { .fetcher }
}

extension ArtifactStoreSuite: ConformanceSuite {
    public static var interface: BackendInterface { .artifactStore }
}

extension MachineStorageSuite: ConformanceSuite {
    public static var interface: BackendInterface { .machineStorage }
}

extension TransportSuite: ConformanceSuite {
    public static var interface: BackendInterface { .transport }
}

extension ConformanceEnvironment {
    /// The suite for what a backend makes.
    ///
    /// - Throws: ``ConformanceSkip`` if the environment hasn't what the suite needs; what the provider throws.
    public func suite(for provider: any BackendProvider) async throws -> any ConformanceSuite {
        switch provider {
        case let provider as any FetcherProvider:
            return FetcherSuite(try provider.makeFetcher())
        case let provider as any ArtifactStoreProvider:
            return ArtifactStoreSuite(in: scratch) { try provider.makeStore(root: $0) }
        case let provider as any MachineStorageProvider:
            let storage = try provider.makeStorage()
            return MachineStorageSuite(storage, volume: try await volume(for: storage))
        case let provider as any TransportProvider:
            return TransportSuite(try provider.makeTransport(to: try destination(for: provider)))
        default:
            throw ConformanceSkip("there is no suite for \(provider.identity.interface.rawValue)")
        }
    }

    private func volume(for storage: any MachineStorage) async throws -> FilePath {
        for directory in volumes + [scratch] where try await storage.isVolume(directory) { return directory }
        throw ConformanceSkip(
            "none of \((volumes + [scratch]).map(\.string).joined(separator: ", ")) is on a file system of its kind"
        )
    }

    private func destination(for provider: any TransportProvider) throws -> TransportDestination {
        guard provider.capabilities.remote else { return .thisMachine }
        guard let remoteHost else { throw ConformanceSkip("no host was given to log in to") }
        return .host(remoteHost)
    }
}
