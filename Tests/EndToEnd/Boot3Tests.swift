import BuildOSKit
import Testing

extension EndToEndTests {
    /// A host without a machines disk, booted by the configuration for all hosts.
    @Suite(
        "3. No machines disk",
        .serialized,
        .host { lab in
            try lab.configurePXE(for: nil, append: try lab.commonParameters())
            return HostShape(
                name: "boot3",
                identity: "nameless",
                firmware: .pxe(mac: Lab.namelessMAC, address: Lab.namelessAddress),
                disks: [try await Disk.state("state3", in: lab)]
            )
        }
    )
    struct Boot3 {
        let lab: Lab
        let host: VirtualHost

        init() throws {
            lab = try Lab.current
            host = try VirtualHost.current
        }

        @Test("STOR-3: the boot stops at a shell that says what is missing and how to make it")
        func shell() async throws {
            try await host.serialShows("there is no disk labelled buildos.machines", within: .seconds(300))
            try await host.serialShows("mkfs.btrfs", within: .seconds(10))
            let served = try FileTree.readText(lab.logs.appending("dnsmasq.log"), limit: 64 << 20)
            #expect(served.contains("sent \(lab.tftp)/pxelinux.cfg/default to \(Lab.namelessAddress)"))
        }

        @Test("STOR-3: the shell is root's, and has what it takes to make a disk")
        func shellWorks() async throws {
            try await host.serialShows("buildos# ", within: .seconds(60))
            try await host.type("echo I am $(id -un), $((6 * 7))\n")
            try await host.serialShows("I am root, 42", within: .seconds(20))
            try await host.type("command -v fdisk hdparm mkfs.btrfs | wc -l | sed 's/^/found: /'\n")
            try await host.serialShows("found: 3", within: .seconds(20))
        }

        @Test("STOR-3: leaving the shell reboots")
        func leavingReboots() async throws {
            try await host.type("exit\n")
            try await host.reboots(within: .seconds(30))
            #expect(try host.serial.alarms == [])
        }
    }
}
