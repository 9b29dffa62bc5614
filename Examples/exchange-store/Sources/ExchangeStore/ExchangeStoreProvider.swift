import BuildOSKit

/// Offers ``ExchangeStore``.
public struct ExchangeStoreProvider: ArtifactStoreProvider {
    public let identity = BackendIdentity(
        name: "exchange",
        interface: .artifactStore,
        summary: "sets of files as plain directories, for servers that follow no links"
    )
    public let capabilities = ExchangeStore.offered

    public init() {}

    /// Every Linux since 3.15 has what it needs; whether a file system has, the store finds out when it is opened.
    public func preflight() async -> [PreflightFinding] { [] }

    public func makeStore(root: FilePath) throws -> any ArtifactStore { try ExchangeStore(root: root) }
}
