/// Toolchains on this host: fetched into its store, bootstrapped by programs.
public actor HostToolchains: ToolchainPreparing {
    private let store: ToolchainSync
    private let trial: ToolchainSync
    private let trialStore: any ArtifactStore
    private let builder: ToolchainBootstrap
    private let options: BootstrapOptions
    private let logger: Logger
    private var published: [ToolchainName: PublishedToolchain] = [:]

    /// Puts the parts together.
    ///
    /// - Parameters:
    ///   - store: publishes for machines and bootstraps.
    ///   - trialStore: where a newer set is fetched to see whether it is whole; it is removed again at once.
    public init(
        fetcher: any Fetcher,
        store: any ArtifactStore,
        trialStore: any ArtifactStore,
        builder: ToolchainBootstrap,
        options: BootstrapOptions,
        scratch: FilePath = "/tmp",
        logger: Logger
    ) {
        self.store = ToolchainSync(fetcher: fetcher, store: store, scratch: scratch)
        trial = ToolchainSync(fetcher: fetcher, store: trialStore, scratch: scratch)
        self.trialStore = trialStore
        self.builder = builder
        self.options = options
        self.logger = logger
    }

    public func sync(_ toolchain: Toolchain) async -> ToolchainSyncOutcome {
        let (outcome, toolchain) = await Self.run(store, toolchain)
        if let toolchain { published[toolchain.name] = toolchain }
        return outcome
    }

    public func verify(_ toolchain: Toolchain) async -> ToolchainSyncOutcome {
        let (outcome, _) = await Self.run(trial, toolchain)
        if let set = ArtifactSetName(toolchain.name.text) {
            do { try await trialStore.remove(set) } catch { logger.error("can't remove what was verified: \(error)") }
        }
        return outcome
    }

    public func bootstrap(_ toolchain: Toolchain, _ synced: SyncedToolchain) async throws -> AgentChoice {
        if toolchain.agent == .builtin { return AgentChoice(.builtin, because: "buildos.agent says so") }
        guard let published = published[toolchain.name], published.checksums == synced.checksums else {
            throw Trouble(
                .toolchainBootstrap,
                "toolchain \(toolchain.name)",
                cause: "its files were replaced before the bootstrap began"
            )
        }
        let logger = logger
        do throws(ToolchainBootstrapError) {
            let result = try await builder.run(published, options: options) { step in
                logger.info("toolchain \(toolchain.name): \(step.rawValue)")
            }
            logger.notice("toolchain \(toolchain.name): \(result.agentVersion)")
            return AgentChoice(.bbot, because: toolchain.agent == .bbot ? "buildos.agent says so" : "it can be built")
        } catch {
            guard toolchain.agent == nil, error.kind.concernsAgentAlone else { throw error }
            logger.warning("toolchain \(toolchain.name): builtin agents, because of its own: \(error.cause)")
            return AgentChoice(.builtin, because: "its own agent is not to be had: \(error.cause)")
        }
    }

    private static func run(
        _ sync: ToolchainSync,
        _ toolchain: Toolchain
    ) async -> (ToolchainSyncOutcome, PublishedToolchain?) {
        let source = ToolchainSource(name: toolchain.name, url: toolchain.url, trust: toolchain.trust)
        let subject = "toolchain \(toolchain.name)"
        do {
            switch try await sync.run(source) {
            case .disabled(let checksums): return (.disabled(checksums), nil)
            case .published(let published, _):
                let synced = SyncedToolchain(
                    version: published.version.description,
                    id: published.id.hexadecimal,
                    checksums: published.checksums
                )
                return (.ready(synced), published)
            }
        } catch {
            switch error.kind {
            case .checksums, .mismatch:
                let trouble = Trouble(.toolchainRefused, subject, cause: error.cause, remedy: error.remedy)
                return (.refused(trouble, checksums: error.checksums), nil)
            case .fetch, .store, .file, .cancelled:
                let trouble = Trouble(.toolchainFetch, subject, cause: error.cause, remedy: error.remedy)
                return (.failed(trouble, checksums: error.checksums), nil)
            }
        }
    }
}

/// Watches files on servers with a fetcher.
public actor FetchedChanges: ChangeWatching {
    private let fetcher: any Fetcher
    private let sync: ToolchainSync
    private let scratch: FilePath
    private let kexecDirectory: FilePath
    private var seen: [ToolchainName: (digest: Digest, validators: ResourceValidators)] = [:]

    /// Creates watches.
    ///
    /// - Parameters:
    ///   - store: only named for the sync that reads checksums files; nothing is put into it.
    ///   - scratch: a directory for small files while they are read.
    public init(
        fetcher: any Fetcher,
        store: any ArtifactStore,
        scratch: FilePath = "/tmp",
        kexecDirectory: FilePath = PrivilegedRequest.kexecDirectory
    ) {
        self.fetcher = fetcher
        self.scratch = scratch
        self.kexecDirectory = kexecDirectory
        sync = ToolchainSync(fetcher: fetcher, store: store, scratch: scratch)
    }

    public func checksums(of toolchain: Toolchain) async throws -> Digest {
        let known = seen[toolchain.name]
        let source = ToolchainSource(name: toolchain.name, url: toolchain.url, trust: toolchain.trust)
        if let now = try await sync.checksums(of: source, unlessMatching: known?.validators ?? ResourceValidators()) {
            seen[toolchain.name] = (now.digest, now.validators)
            return now.digest
        }
        guard let known else {
            throw Trouble(.watch, toolchain.url.description, cause: "'not modified' was the answer to a plain request")
        }
        return known.digest
    }

    public func buildID(at url: ResourceURL) async throws -> BuildID { try await file(at: url).id }

    public func fetchKernel(beside url: ResourceURL) async throws -> RebootRequest {
        let checksums = try await file(at: url).checksums
        try FileTree.makeDirectory(kexecDirectory)
        async let kernel = fetch(ImageFiles.kernelName, beside: url, checksums)
        async let initrd = fetch(ImageFiles.initrdName, beside: url, checksums)
        return .kexec(kernel: try await kernel, initrd: try await initrd)
    }

    private func file(at url: ResourceURL) async throws -> BuildIDFile {
        let limits = FetchLimits(
            maximumBytes: Int64(BuildIDFile.sizeLimit),
            connectTimeout: .seconds(15),
            totalTimeout: .seconds(60)
        )
        do {
            guard let content = try await fetcher.content(of: url, limits: limits, scratch: scratch) else {
                throw Trouble(.watch, url.description, cause: "'not modified' was the answer to a plain request")
            }
            return try BuildIDFile(String(decoding: content.bytes, as: UTF8.self))
        } catch let error as FetchContentError {
            switch error {
            case .fetch(let error): throw error
            case .file(let error): throw error
            }
        }
    }

    private func fetch(
        _ name: String,
        beside url: ResourceURL,
        _ checksums: [String: Digest]
    ) async throws -> FilePath {
        guard let expected = checksums[name] else {
            throw Trouble(
                .reboot,
                "reboot by kexec",
                cause: "\(url) gives no checksum of \(name), so it can't be verified",
                remedy: "serve the buildos-buildid that was made with the image, all lines of it"
            )
        }
        let destination = kexecDirectory.appending(name)
        let request = FetchRequest(
            url: url.sibling(try RelativePath(name)),
            destination: destination,
            digestAlgorithm: .sha256
        )
        guard case .fetched(let file) = try await fetcher.fetch(request), file.digest == expected else {
            try? FileTree.remove(destination)
            throw Trouble(
                .reboot,
                "reboot by kexec",
                cause: "\(request.url) is not what \(url) says",
                remedy: "put all three files of an image on the server at once"
            )
        }
        return destination
    }
}
