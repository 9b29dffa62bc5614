import BtrfsStorage
import BuildOSConformance
import BuildOSKit
import Glibc
import LocalTransport
import TestSupport
import Testing

@Suite("BACK-3: MachineStorage") struct MachineStorageConformance {
    @Test("MACH-1: btrfs, linked") func linked() async throws {
        try await run { try BtrfsStorage() }
    }

    @Test("MACH-1: btrfs, loaded") func loaded() async throws {
        try await run {
            try LoadedModules.inventory.registry.machineStorage(named: "btrfs").makeStorage()
        }
    }

    private func run(_ makeStorage: () throws -> any MachineStorage) async throws {
        guard Requirements.isMet(geteuid() == 0, "mounting a btrfs file system needs root") else { return }
        try await withVolume("btrfs", mebibytes: 256, by: LocalTransport()) { volume in
            for check in MachineStorageSuite(try makeStorage(), volume: volume).checks {
                do {
                    try await check.body()
                } catch {
                    Issue.record("\(check.name): \(error)")
                }
            }
        }
    }
}
