import BuildOSConformance
import BuildOSKit
import Glibc
import LocalTransport
import SSHRemote
import TestSupport
import Testing

@Suite("BACK-3: Transport") struct TransportConformance {
    @Test("local, linked", arguments: TransportSuite(LocalTransport()).checks)
    func linked(check: ConformanceCheck) async { await check.run() }

    @Test("local, loaded", arguments: TransportSuite(LocalTransport()).checks.indices)
    func loaded(index: Int) async throws {
        let transport = try LoadedModules.inventory.registry.transport(named: "local").makeTransport(to: .thisMachine)
        await TransportSuite(transport).checks[index].run()
    }

    @Test("ssh, linked", arguments: TransportSuite(LocalTransport()).checks.indices)
    func sshLinked(index: Int) async throws {
        try await checkSSH(index) { SSHRemote(to: $0) }
    }

    @Test("ssh, loaded", arguments: TransportSuite(LocalTransport()).checks.indices)
    func sshLoaded(index: Int) async throws {
        let provider = try LoadedModules.inventory.registry.transport(named: "ssh")
        try await checkSSH(index) { try provider.makeTransport(to: .host($0)) }
    }

    private func checkSSH(_ index: Int, _ make: (RemoteHost) throws -> any Transport) async throws {
        guard Requirements.isMet(getuid() == 0, "sshd for tests needs root") else { return }
        try await withSSHServer(by: LocalTransport()) { server in
            let transport = try make(server.host)
            await TransportSuite(transport).checks[index].run()
            await transport.close()
        }
    }
}
