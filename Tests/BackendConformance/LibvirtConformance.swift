import BuildOSConformance
import BuildOSKit
import Glibc
import Libvirt
import LocalTransport
import TestSupport
import Testing

@Suite("BACK-3: VirtualMachines by libvirt", .serialized) struct LibvirtConformance {
    private static func suite(_ provider: any VirtualMachineProvider, at uri: String) -> VirtualMachinesSuite {
        VirtualMachinesSuite(guest: TestGuest.paths) {
            try provider.makeVirtualMachines(VirtualMachineOptions(connection: uri))
        }
    }

    private static let checks = suite(LibvirtProvider(), at: "").checks

    @Test("MACH-7: libvirt, linked", arguments: checks.indices)
    func linked(index: Int) async throws {
        try await run(index, LibvirtProvider())
    }

    @Test("MACH-7: libvirt, loaded", arguments: checks.indices)
    func loaded(index: Int) async throws {
        try await run(index, try LoadedModules.inventory.registry.virtualMachines(named: "libvirt"))
    }

    private func run(_ index: Int, _ provider: any VirtualMachineProvider) async throws {
        guard Requirements.isMet(getuid() == 0, "a libvirtd of the test's own needs root"),
            Requirements.isMet(FileTree.exists("/usr/sbin/libvirtd"), "no libvirtd: apt install libvirt-daemon"),
            await TestGuest.isMade()
        else { return }
        let service = try await PrivateLibvirtd.shared(by: LocalTransport())
        await Self.suite(provider, at: service.uri).checks[index].run()
    }
}
