import BuildOSConformance
import LocalTransport
import Testing

@Suite("BACK-3: Transport") struct TransportConformance {
    @Test("linked", arguments: TransportSuite(LocalTransport()).checks)
    func linked(check: ConformanceCheck) async throws { try await check.body() }
}

extension ConformanceCheck: CustomTestStringConvertible {
    public var testDescription: String { name }
}
