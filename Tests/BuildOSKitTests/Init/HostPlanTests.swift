import BuildOSKit
import TestSupport
import Testing

@testable import BuildOSDaemon

@Suite struct HostPlanTests {
    private func plan(_ line: String, cpus: Int = 8, ram: Int = 64) -> HostPlan {
        var facts = HostPlan.Facts(machine: MachineResources(cpus: cpus, ram: MemorySize(gibibytes: ram)))
        facts.lease = DHCPLease(address: "10.0.2.15", mask: "255.255.255.0", hostName: "b1", domainName: "example.org")
        if let address = try? MACAddress("52:54:00:12:34:56") {
            facts.uplink = EthernetInterface(name: "eth0", address: address)
        }
        return HostPlan(HostConfiguration.parse(commandLine: line), facts)
    }

    @Test("BOOT-4: the set-up writes storage, network, name, mail, SSH and agent files")
    func files() {
        let plan = plan("buildos.toolchain_url=http://h/t.sha256 buildos.instances=2")
        #expect(
            Set(plan.files.map(\.path.string)) == [
                "/etc/fstab", "/etc/network/interfaces", "/etc/dhcp/dhclient.conf", "/etc/dnsmasq-br1.conf",
                "/etc/nftables.conf", "/etc/sysctl.d/buildos.conf", "/etc/hostname", "/etc/hosts",
                "/etc/postfix/main.cf", "/etc/postfix/virtual", "/etc/aliases",
                "/etc/ssh/sshd_config.d/buildos.conf", "/build/.ssh/authorized_keys",
                "/etc/systemd/system/bbot-agent@default-1.service.d/buildos.conf",
                "/etc/systemd/system/buildos-agent@default-1.service.d/buildos.conf",
                "/etc/systemd/system/bbot-agent@default-2.service.d/buildos.conf",
                "/etc/systemd/system/buildos-agent@default-2.service.d/buildos.conf", "/etc/motd",
            ]
        )
        #expect(plan.files.count == Set(plan.files.map(\.path)).count)
        #expect(plan.reports.isEmpty && plan.notices.isEmpty)
    }

    @Test("CONF-4, RES-4: a host with errors boots, and says so where an operator looks")
    func errors() {
        let plan = plan("buildos.nice=20 buildos.toolchain_url=http://h/t.sha256", ram: 2)
        #expect(plan.reports.map(\.kind) == [.configuration, .resources])
        #expect(plan.notices.count == 2)
        #expect(!plan.files.contains { $0.path.string.contains("bbot-agent@") })
        let texts = plan.files.filter { $0.path == "/etc/motd" || $0.path == ErrorNotice.file }.map(\.content)
        #expect(texts.count == 2)
        #expect(
            texts.allSatisfy { $0.contains("buildos.nice=20: 20 is not from -20 to 19") && $0.contains("2 GiB in all") }
        )
    }

    @Test("BOOT-4: a plan is written under a directory as it is")
    func written() async throws {
        try await withTemporaryDirectory { directory in
            let plan = plan("buildos.ssh_key=\"\(Sample.ed25519Key)\"")
            try FileSetup(root: directory.string).write(plan.files)
            for file in plan.files {
                #expect(try FileTree.readText(FilePath(directory.string + file.path.string)) == file.content)
            }
        }
    }

    @Test(
        "BOOT-4: drivers that lead to disks and the network are loaded first",
        arguments: [
            ("pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00", true),
            ("pci:v00008086d00007010sv00001AF4sd00001100bc01sc01i80", true),
            ("pci:v00008086d000024CDsv00001AF4sd00001100bc0Csc03i20", true),
            ("pci:v00001AF4d00001005sv00001AF4sd00000004bc00scFFi00", true),
            ("pci:v00001234d00001111sv00001AF4sd00001100bc03sc00i00", false),
            ("pci:v00008086d00001237sv00001AF4sd00001100bc06sc00i00", false),
            ("virtio:d00000002v00001AF4", true),
            ("scsi:t-0x00", true), ("scsi:t-0x05", false),
            ("usb:v0781p5567d0100dc00dsc00dp00ic08isc06ip50in00", true),
            ("usb:v0627p0001d0000dc00dsc00dp00ic03isc01ip01in00", false),
            ("acpi:PNP0303:", false), ("", false), ("pci:", true),
        ]
    )
    func drivers(modalias: String, expected: Bool) {
        #expect(EarlyDrivers.mayLeadToDiskOrNetwork(modalias) == expected)
    }

    @Test("STOR-5: a state disk is checked unless it was unmounted in order")
    func superblock() {
        var bytes = [UInt8](repeating: 0, count: ExtFileSystem.beginning)
        #expect(ExtFileSystem.wasLeftClean(beginning: bytes) == nil)
        #expect(ExtFileSystem.wasLeftClean(beginning: []) == nil)
        bytes[1024 + 56] = 0x53
        bytes[1024 + 57] = 0xef
        #expect(ExtFileSystem.wasLeftClean(beginning: bytes) == false)
        bytes[1024 + 58] = 1
        #expect(ExtFileSystem.wasLeftClean(beginning: bytes) == true)
        bytes[1024 + 58] = 3
        #expect(ExtFileSystem.wasLeftClean(beginning: bytes) == false)
    }
}
