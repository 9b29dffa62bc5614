import BuildOSKit
import Testing

@Suite struct BackendRegistryTests {
    /// Stands for a module that registers a backend for an interface it does not implement.
    private struct Impostor: BackendProvider {
        let identity = BackendIdentity(name: "impostor", interface: .fetcher, summary: "")
        let capabilityListing: [Capability] = []
        func preflight() async -> [PreflightFinding] { [] }
    }

    private struct Transports: TransportProvider {
        let identity: BackendIdentity
        let capabilities = TransportCapabilities(remote: false)
        init(_ name: String) { identity = BackendIdentity(name: name, interface: .transport, summary: "") }
        func preflight() async -> [PreflightFinding] { [] }
        func makeTransport(to destination: TransportDestination) throws -> any Transport {
            throw UnsupportedOperation("run", backend: identity.name)
        }
    }

    @Test func theFirstOfAnInterfaceIsTheDefault() throws {
        var registry = BackendRegistry()
        try registry.register(Transports("a"))
        try registry.register(Transports("b"))
        #expect(try registry.transport().identity.name == "a")
        #expect(try registry.transport(named: "b").identity.name == "b")
    }

    @Test func aNameIsTakenOnce() throws {
        var registry = BackendRegistry()
        try registry.register(Transports("a"))
        #expect(throws: BackendRegistryError.self) { try registry.register(Transports("a")) }
        #expect(registry.providers.count == 1)
    }

    @Test func whatIsMissingIsNamed() throws {
        var registry = BackendRegistry()
        try registry.register(Transports("a"))
        let missing = #expect(throws: BackendRegistryError.self) { try registry.transport(named: "ssh") }
        #expect(missing?.description.contains("'ssh'") == true && missing?.cause == "there is only a")
        let none = #expect(throws: BackendRegistryError.self) { try registry.fetcher() }
        #expect(none?.cause == "no module offers it")
    }

    @Test func anImpostorIsNotHandedOut() throws {
        var registry = BackendRegistry()
        try registry.register(Impostor())
        #expect(throws: BackendRegistryError.self) { try registry.fetcher() }
    }
}
