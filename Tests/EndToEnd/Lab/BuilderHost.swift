import BuildOSKit
import TestSupport

/// A host whose agents are this system's own: of a toolchain that says so, and of one whose bot package can't be built.
enum BuilderHost {
    /// The key that it finds on its state disk, for controllers to know it by.
    static func publicKey(in lab: Lab) -> FilePath { lab.directory.appending("builder-key.pub") }

    static func shape(named name: String, in lab: Lab) async throws -> HostShape {
        try await lab.publishToolchain("builder", version: "0.18.0")
        try await lab.publishToolchain("nobot", version: "0.18.0", behaviour: .noBot)
        let trust = try await lab.toolchainTrust()
        return HostShape(
            name: name,
            identity: name,
            firmware: .local(
                mac: Lab.namedMAC,
                address: Lab.namedAddress,
                append: try lab.commonParameters() + [
                    "buildos.toolchain_url=http://web.lab/builder/toolchain.sha256", "buildos.toolchain_trust=\(trust)",
                    "buildos.agent=builtin", "buildos.nice=5",
                    "buildos.controller_url=http://\(Lab.address):8090/?build-task",
                    "buildos.toolchain_url.nobot=http://web.lab/nobot/toolchain.sha256",
                    "buildos.toolchain_trust.nobot=\(trust)",
                    "buildos.ram_reserved=1", "buildos.cpu_affinity=0-1",
                ]
            ),
            memory: 3584,
            disks: [try await state(of: name, in: lab), try await machines(of: name, in: lab)]
        )
    }

    private static func state(of name: String, in lab: Lab) async throws -> Disk {
        let content = lab.directory.appending("\(name)-state")
        let key = content.appending("bbot/auth-key.pem")
        try FileTree.makeDirectory(key.removingLastComponent())
        for arguments in [
            ["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key.string],
            ["pkey", "-in", key.string, "-pubout", "-out", publicKey(in: lab).string],
        ] { try await lab.transport.check(Command("openssl", arguments)) }
        let disk = try await Disk.blank("\(name)-state", megabytes: 64, in: lab)
        try await lab.transport.check(
            Command("mkfs.ext4", ["-q", "-F", "-L", "buildos.state", "-d", content.string, disk.file.string])
        )
        return disk
    }

    private static func machines(of name: String, in lab: Lab) async throws -> Disk {
        let disk = try await Disk.blank("\(name)-machines", megabytes: 8192, in: lab)
        try await lab.transport.check(Command("mkfs.btrfs", ["-q", "-L", "buildos.machines", disk.file.string]))
        return disk
    }
}
