import BtrfsStorage
import BuildOSConformance
import BuildOSKit
import DirectoryStorage
import Glibc
import LocalTransport
import TestSupport
import Testing

@Suite("BACK-3: MachineStorage") struct MachineStorageConformance {
    @Test("MACH-1, MACH-3: btrfs, linked") func btrfsLinked() async throws {
        try await run(on: "btrfs") { try BtrfsStorage() }
    }

    @Test("MACH-1, MACH-3: btrfs, loaded") func btrfsLoaded() async throws {
        try await run(on: "btrfs") {
            try LoadedModules.inventory.registry.machineStorage(named: "btrfs").makeStorage()
        }
    }

    @Test(
        "BACK-1: directories, linked, on file systems with reflinks, without, and in memory",
        arguments: [
            "btrfs", "ext4", "tmpfs",
        ]
    )
    func directoriesLinked(fileSystem: String) async throws {
        try await run(on: fileSystem) { DirectoryStorage() }
    }

    @Test("BACK-2: directories, loaded") func directoriesLoaded() async throws {
        try await run(on: "tmpfs") {
            try LoadedModules.inventory.registry.machineStorage(named: "directory").makeStorage()
        }
    }

    @Test("BACK-3: the suite catches broken storages", arguments: BrokenStorage.all)
    func broken(storage: BrokenStorage) async throws {
        try await withTemporaryDirectory { volume in
            let checks = MachineStorageSuite(storage.storage, volume: volume).checks.filter {
                $0.name.contains(storage.caughtBy)
            }
            #expect(checks.count == 1, "no check, or several, of that name")
            for check in checks {
                await #expect(throws: (any Error).self, "it was not caught") { try await check.body() }
            }
        }
    }

    private func run(on fileSystem: String, _ makeStorage: () throws -> any MachineStorage) async throws {
        guard Requirements.isMet(geteuid() == 0, "mounting a file system needs root") else { return }
        try await withVolume(fileSystem, mebibytes: 256, by: LocalTransport()) { volume in
            for check in MachineStorageSuite(try makeStorage(), volume: volume).checks {
                await check.run(offersAll: true)
            }
        }
    }
}
