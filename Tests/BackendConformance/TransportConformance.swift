import BuildOSConformance
import BuildOSKit
import LocalTransport
import Testing

@Suite("BACK-3: Transport") struct TransportConformance {
    @Test("local, linked", arguments: TransportSuite(LocalTransport()).checks)
    func linked(check: ConformanceCheck) async throws { try await check.body() }

    @Test("local, loaded", arguments: TransportSuite(LocalTransport()).checks.indices)
    func loaded(index: Int) async throws {
        let transport = try LoadedModules.inventory.registry.transport(named: "local").makeTransport(to: .thisMachine)
        try await TransportSuite(transport).checks[index].body()
    }
}
