import BuildOSConformance
import BuildOSKit
import QEMUDirect
import TestSupport
import Testing

@Suite("BACK-3: VirtualMachines", .serialized) struct VirtualMachinesConformance {
    static let direct = VirtualMachinesSuite(guest: TestGuest.paths) { QEMUDirect() }

    @Test("MACH-7: qemu, linked", arguments: direct.checks)
    func linked(check: ConformanceCheck) async {
        guard await TestGuest.isMade() else { return }
        await check.run()
    }

    @Test("MACH-7: qemu, loaded", arguments: direct.checks.indices)
    func loaded(index: Int) async throws {
        guard await TestGuest.isMade() else { return }
        let provider = try LoadedModules.inventory.registry.virtualMachines(named: "qemu")
        let suite = VirtualMachinesSuite(guest: TestGuest.paths) { try provider.makeVirtualMachines() }
        await suite.checks[index].run()
    }

    @Test("BACK-3: the suite catches broken virtual machines", arguments: BrokenMachines.all)
    func broken(machines: BrokenMachines) async throws {
        guard await TestGuest.isMade() else { return }
        let suite = VirtualMachinesSuite(guest: TestGuest.paths, patience: .seconds(20)) { machines.backend }
        let checks = suite.checks.filter { $0.name.contains(machines.caughtBy) }
        #expect(checks.count == 1, "no check, or several, of that name")
        for check in checks {
            let result = await ConformanceRunner().run(check)
            #expect(result.outcome.isFailure, "it was not caught")
            print("\(machines.fault): \(result.outcome.explanation?.prefix(200) ?? "")")
        }
    }
}
