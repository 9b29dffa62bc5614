/// Builds a published toolchain on this host, and the bot package with it (TOOL-5).
///
/// What it runs, and in which order, is what the archives of build2-toolchain expect: build.sh in its own,
/// freshly unpacked directory, then the bpkg it installed.
public struct ToolchainBootstrap: Sendable {
    private let transport: any Transport
    private let layout: ToolchainLayout

    /// Creates a bootstrap that runs its programs by a transport to this machine.
    public init(transport: any Transport, layout: ToolchainLayout = ToolchainLayout()) {
        self.transport = transport
        self.layout = layout
    }

    /// Bootstraps a toolchain, unless this boot of the host has done so already.
    ///
    /// Several toolchains may be bootstrapped side by side, each once at a time. Cancelling the task ends it,
    /// with all it has started.
    ///
    /// - Parameter onStep: called when a step begins.
    /// - Throws: ``ToolchainBootstrapError``; of what was built, nothing is left then.
    public func run(
        _ toolchain: PublishedToolchain,
        options: BootstrapOptions = BootstrapOptions(),
        onStep: @escaping @Sendable (BootstrapStep) -> Void = { _ in }
    ) async throws(ToolchainBootstrapError) -> BootstrappedToolchain {
        let marker = BootstrapMarker(toolchain, options, layout)
        if let agentVersion = marker.agentVersion() {
            return bootstrapped(toolchain, agentVersion: agentVersion, wasThere: true)
        }
        let run: BootstrapRun
        do throws(FileError) {
            try await wipe(toolchain.name)
            let log = try BoundedLog(layout.log(toolchain.name), limit: Self.logLimit)
            run = BootstrapRun(
                toolchain: toolchain,
                options: options,
                layout: layout,
                transport: transport,
                log: log,
                onStep: onStep
            )
        } catch {
            throw self.error(.file(error), toolchain)
        }
        do throws(ToolchainBootstrapError) {
            let agentVersion = try await run.perform()
            do throws(FileError) {
                try await remove(layout.work(toolchain.name))
                try marker.write(agentVersion: agentVersion)
            } catch {
                throw self.error(.file(error), toolchain)
            }
            run.log.close()
            return bootstrapped(toolchain, agentVersion: agentVersion, wasThere: false)
        } catch {
            run.log.append("\(error)")
            run.log.close()
            // What can't be removed now is in the way of the next attempt, which reports it.
            try? await wipe(toolchain.name)
            throw error
        }
    }

    /// Removes what bootstraps of other toolchains left, of names no longer configured. Call at start.
    ///
    /// - Throws: ``FileError``
    public func cleanUp(keeping names: Set<ToolchainName>) async throws(FileError) {
        guard FileTree.isDirectory(layout.toolchains) else { return }
        let kept = Set(names.map(\.text))
        for name in try FileTree.names(in: layout.toolchains) where !kept.contains(name) {
            try await remove(layout.toolchains.appending(name))
        }
    }

    /// Most bytes of a log's beginning; its last lines are kept besides.
    private static let logLimit = 32 << 20

    private func bootstrapped(
        _ toolchain: PublishedToolchain,
        agentVersion: String,
        wasThere: Bool
    ) -> BootstrappedToolchain {
        BootstrappedToolchain(
            name: toolchain.name,
            version: toolchain.version,
            id: toolchain.id,
            prefix: layout.prefix(toolchain.name),
            agent: layout.agent(toolchain.name),
            agentVersion: agentVersion,
            wasThere: wasThere
        )
    }

    private func wipe(_ name: ToolchainName) async throws(FileError) {
        try await remove(layout.prefix(name))
        try await remove(layout.work(name))
    }

    /// An unpacked toolchain has tens of thousands of files.
    private func remove(_ path: FilePath) async throws(FileError) {
        try await DedicatedThread.run(name: "bootstrap-wipe") { () throws(FileError) in try FileTree.remove(path) }
    }

    private func error(
        _ kind: ToolchainBootstrapError.Kind,
        _ toolchain: PublishedToolchain
    ) -> ToolchainBootstrapError {
        ToolchainBootstrapError(kind, toolchain: toolchain.name, log: layout.log(toolchain.name))
    }
}
