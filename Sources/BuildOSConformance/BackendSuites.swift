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

extension ConformanceRunner {
    /// Runs the suite of a backend's interface on what the backend makes.
    ///
    /// - Returns: a report; one without results, with the reason, if the backend can't work on this machine, or the
    ///   environment hasn't what the suite needs. A provider that misses nothing and makes nothing has failed.
    /// - Throws: `CancellationError` if the task is cancelled.
    public func run(
        _ provider: any BackendProvider,
        in environment: ConformanceEnvironment,
        observe: @Sendable (ConformanceResult) -> Void = { _ in },
        where isWanted: @Sendable (ConformanceCheck) -> Bool = { _ in true }
    ) async throws -> ConformanceReport {
        var report = ConformanceReport(backend: provider.identity)
        // A hypervisor elsewhere needs nothing of this machine.
        let isElsewhere = provider.identity.interface == .virtualMachines && environment.hypervisor != nil
        let findings = isElsewhere ? [] : await provider.preflight()
        guard findings.isEmpty else {
            report.skip = ConformanceSkip(findings.map { "\($0.problem) (\($0.remedy))" }.joined(separator: "; "))
            return report
        }
        let suite: any ConformanceSuite
        do {
            suite = try await environment.suite(for: provider)
        } catch let skip as ConformanceSkip {
            report.skip = skip
            return report
        } catch {
            let result = ConformanceResult(
                check: "a backend that misses nothing on this machine can be made",
                outcome: .failed(found: "\(error)"),
                duration: .zero
            )
            report.results = [result]
            observe(result)
            return report
        }
        return try await run(suite, of: provider.identity, observe: observe, where: isWanted)
    }
}

extension ConformanceEnvironment {
    /// The suite for what a backend makes.
    ///
    /// - Throws: ``ConformanceSkip`` if the environment hasn't what the suite needs; what the provider throws.
    public func suite(for provider: any BackendProvider) async throws -> any ConformanceSuite {
        switch provider {
        case let provider as any FetcherProvider:
            return try FetcherSuite(provider, transport: localTransport)
        case let provider as any ArtifactStoreProvider:
            return ArtifactStoreSuite(in: scratch) { try provider.makeStore(root: $0) }
        case let provider as any MachineStorageProvider:
            let storage = try provider.makeStorage()
            guard let volume = try await volume(for: storage) else {
                let directories = (volumes + [scratch]).map(\.string).joined(separator: ", ")
                throw ConformanceSkip("no file system of its kind: \(directories)")
            }
            return MachineStorageSuite(storage, volume: volume)
        case let provider as any VirtualMachineProvider:
            guard let guest else { throw ConformanceSkip("no test guest was given") }
            let options = VirtualMachineOptions(connection: hypervisor)
            return VirtualMachinesSuite(in: scratch, guest: guest) { try provider.makeVirtualMachines(options) }
        case let provider as any TransportProvider:
            return TransportSuite(try provider.makeTransport(to: try destination(for: provider)))
        default:
            throw ConformanceSkip("there is no suite for \(provider.identity.interface.rawValue)")
        }
    }

    /// The first of ``volumes`` and ``scratch`` that lies on a file system of the storage's kind.
    public func volume(for storage: any MachineStorage) async throws(MachineStorageError) -> FilePath? {
        for directory in volumes + [scratch] where try await storage.isVolume(directory) { return directory }
        return nil
    }

    private func destination(for provider: any TransportProvider) throws -> TransportDestination {
        guard provider.capabilities.remote else { return .thisMachine }
        guard let remoteHost else { throw ConformanceSkip("no host was given to log in to") }
        return .host(remoteHost)
    }
}
