import BuildOSKit
import LocalTransport

/// A disk image in the lab, made without being mounted.
struct Disk: Sendable {
    let file: FilePath
    var isReadOnly = false
    /// QEMU's `cache=`: what a flush by the guest does here.
    var cache = "unsafe"

    /// The manual's recipe for a state disk.
    static func state(_ name: String, in lab: Lab) async throws -> Disk {
        let disk = try await blank(name, megabytes: 64, in: lab)
        try await lab.transport.check(
            Command("mkfs.ext4", ["-q", "-F", "-L", "buildos.state", "-O", "^has_journal", disk.file.string])
        )
        return disk
    }

    /// The manual's recipe for a machines disk; `volume` is what follows `buildos.machines` in the label.
    static func machines(_ name: String, volume: String = "", in lab: Lab) async throws -> Disk {
        let disk = try await blank(name, megabytes: 512, in: lab)
        try await lab.transport.check(
            Command("mkfs.btrfs", ["-q", "-L", "buildos.machines\(volume)", "-m", "single", disk.file.string])
        )
        return disk
    }

    static func blank(_ name: String, megabytes: Int, in lab: Lab) async throws -> Disk {
        let file = lab.directory.appending("\(name).img")
        try await lab.transport.check(Command("truncate", ["-s", "\(megabytes)M", file.string]))
        return Disk(file: file)
    }

    /// Overwrites everything past the superblock, which still has the label, with what no file system can read.
    func corrupt() async throws {
        try await LocalTransport().check(
            Command(
                "dd",
                ["if=/dev/urandom", "of=\(file)", "bs=4096", "seek=1", "count=4096", "conv=notrunc", "status=none"]
            )
        )
    }
}
