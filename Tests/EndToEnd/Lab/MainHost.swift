import BuildOSKit

/// The host whose life the tests follow: two toolchains, three agents, and disks that stay from boot to boot.
enum MainHost {
    /// Makes its disks and its PXE configuration, and publishes the toolchains of its first boot.
    static func furnish(_ lab: Lab) async throws {
        _ = try await Disk.state("state", in: lab)
        _ = try await Disk.machines("machines", in: lab)
        _ = try await Disk.machines("machines-fast", volume: ".fast", in: lab)
        // The version of the manual's example.
        try await lab.publishToolchain("default", version: "0.4.0")
        try await lab.publishToolchain("dev", version: "0.19.0-a.0.20260601123456.abcdef123456")
        try lab.configurePXE(for: Lab.namedMAC, append: try await parameters(in: lab))
    }

    /// A boot of it: by PXE, or with its kernel handed to QEMU, which saves half a minute of TFTP.
    static func shape(_ boot: String, pxe: Bool, in lab: Lab) async throws -> HostShape {
        let (mac, address) = (Lab.namedMAC, Lab.namedAddress)
        let append = try await parameters(in: lab)
        return HostShape(
            name: boot,
            identity: "build1",
            firmware: pxe
                ? .pxe(mac: mac, address: address) : .local(mac: mac, address: address, append: append),
            disks: ["state", "machines", "machines-fast"].map { Disk(file: lab.directory.appending("\($0).img")) }
        )
    }

    static let controllerTrust =
        "86:BA:D4:DE:2C:87:1A:EE:38:C7:F1:64:7F:65:77:02:15:79:F3:C4:83:C0:AB:5A:EA:F4:F7:8C:1D:63:30:C6"

    static func parameters(in lab: Lab) async throws -> [String] {
        let trust = try await lab.toolchainTrust()
        return try lab.commonParameters() + [
            "buildos.buildid_url=tftp://\(Lab.address)/buildos/buildos-buildid",
            "buildos.toolchain_url=http://web.lab/default/toolchain.sha256",
            "buildos.toolchain_trust=\(trust)",
            "buildos.toolchain_url.dev=http://web.lab/dev/toolchain.sha256",
            "buildos.toolchain_trust.dev=\(trust)",
            "buildos.instances=2", "buildos.nice=5", "buildos.nice.dev=-3", "buildos.bridge.dev=br0",
            "buildos.controller_url=https://one.example.org/?build-task",
            "buildos.controller_url=0100=https://two.example.org/",
            "buildos.controller_trust=\(controllerTrust)",
            "buildos.controller_url.dev=https://dev.example.org/",
            "buildos.cpu_overcommit=9/2", "buildos.cpu_affinity=1",
            "buildos.ram_total=16", "buildos.ram_reserved=4", "buildos.ram_auxiliary=3",
            "buildos.admin_email=admin@example.org", "buildos.smtp_relay=mail.lab",
        ]
    }
}

extension Lab {
    /// What every host of the lab is told: its console, whom to let in, and not to take its time.
    func commonParameters() throws -> [String] {
        let key = try FileTree.readText(FilePath("\(key).pub")).trimmingSuffix(while: \.isNewline)
        return [
            "console=ttyS0", "buildos.ssh_key=\"\(key)\"", "buildos.poll_interval=2", "buildos.reboot_spread=1",
            "buildos.drain_limit=6",
        ]
    }
}
