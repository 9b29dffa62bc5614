import BuildOSConformance
import BuildOSKit
import CurlFetcher
import LocalTransport
import TFTPStore
import TestSupport
import Testing

/// A web server with toolchains, and what a host has to get and build them with.
struct ToolchainLab: Sendable {
    /// The web server's directory.
    let site: FilePath
    /// The host's `/build`.
    let build: FilePath
    let server: MisbehavingServer
    let transport = LocalTransport()
    let fetcher: any Fetcher
    let store: any ArtifactStore

    var published: FilePath { build.appending("tftp/toolchains/default") }
    var layout: ToolchainLayout { ToolchainLayout(base: build) }

    /// The demonstration toolchain's own certificate.
    static let trust = "70:64:FE:E4:E0:F3:60:F1:B4:51:E1:FA:12:5C:E0:B3:DB:DF:96:33:39:B9:2E:E5:C2:68:63:4C:A6:47:39:43"

    static func run(
        build: FilePath? = nil,
        _ body: (ToolchainLab) async throws -> Void
    ) async throws {
        try await withTemporaryDirectory { directory in
            let (site, build) = (directory.appending("site"), build ?? directory.appending("build"))
            try FileTree.makeDirectory(site)
            let store = try TFTPStore(root: build.appending("tftp/toolchains"))
            try await store.recover()
            let server = try MisbehavingServer(files: site)
            defer { server.stop() }
            try await body(
                ToolchainLab(site: site, build: build, server: server, fetcher: CurlFetcher(), store: store)
            )
        }
    }

    /// Puts a toolchain on the web server, with the script that makes those of the demonstration.
    func make(_ version: String, _ options: [String] = []) async throws {
        let script = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
            .appending("Examples/demo-toolchain/make-toolchain")
        try await transport.check(
            Command(script.string, ["--output", site.string, "--version", version] + options),
            timeLimit: .seconds(120)
        )
    }

    func source(_ path: String = "/files/toolchain.sha256", trust: ToolchainTrust? = nil) throws -> ToolchainSource {
        ToolchainSource(
            name: .default,
            url: try server.url(path),
            trust: try trust ?? ToolchainTrust(Self.trust)
        )
    }

    func sync(
        _ source: ToolchainSource? = nil,
        limits: ToolchainSync.Limits = ToolchainSync.Limits()
    ) async throws -> (PublishedToolchain, ToolchainChange) {
        let sync = ToolchainSync(fetcher: fetcher, store: store, scratch: build, limits: limits)
        guard case .published(let toolchain, let change) = try await sync.run(source ?? self.source()) else {
            throw ConformanceFailure("the toolchain is disabled")
        }
        return (toolchain, change)
    }

    /// What a directory holds, as the manual shows it.
    func tree(_ directory: FilePath) async throws -> [String] {
        try await transport.check(Command("ls", ["-1", directory.string])).outputText.split(separator: "\n")
            .map(String.init)
    }

    /// Fails unless a sync fails as expected, with nothing half done left and what was published as it was.
    func expectRefusal(
        _ source: ToolchainSource,
        limits: ToolchainSync.Limits = ToolchainSync.Limits(),
        mayRetry: Bool,
        words: String,
        sourceLocation: SourceLocation = #_sourceLocation,
        _ matches: (ToolchainSyncError.Kind) -> Bool = { _ in true }
    ) async throws {
        let before = FileTree.isDirectory(published) ? try FileTree.names(in: published) : nil
        do {
            let result = try await sync(source, limits: limits)
            Issue.record("it went well: \(result)", sourceLocation: sourceLocation)
        } catch let error as ToolchainSyncError {
            #expect(matches(error.kind), "\(error)", sourceLocation: sourceLocation)
            #expect(error.mayRetry == mayRetry, "\(error)", sourceLocation: sourceLocation)
            #expect(error.description.contains("toolchain 'default': "), sourceLocation: sourceLocation)
            #expect(error.description.contains(words), "\(error)", sourceLocation: sourceLocation)
        }
        let after = FileTree.isDirectory(published) ? try FileTree.names(in: published) : nil
        #expect(before == after, sourceLocation: sourceLocation)
        let root = published.removingLastComponent()
        #expect(try FileTree.names(in: root.appending(".staging")).isEmpty, sourceLocation: sourceLocation)
        let leftInScratch = try FileTree.names(in: build).filter { $0.hasPrefix(".buildos-fetch") }
        #expect(leftInScratch.isEmpty, sourceLocation: sourceLocation)
    }
}
