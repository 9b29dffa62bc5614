import BuildOSKit
import LocalTransport
import TestSupport
import Testing

@testable import Libvirt

@Suite("MACH-7, RES-3: domain XML") struct LibvirtDomainTests {
    private static let uuid = "3d5cbb4f-7ab2-44a8-8b3c-1cbd1f6b8a10"

    private static func definition(_ boot: VirtualMachineBoot) throws -> VirtualMachineDefinition {
        VirtualMachineDefinition(
            name: try #require(VirtualMachineName("debian-public-1")),
            memory: MemorySize(gibibytes: 4),
            cpus: 3,
            boot: boot,
            runtimeDirectory: "/run/buildos/1"
        )
    }

    private static func xml(
        _ definition: VirtualMachineDefinition,
        usesKVM: Bool = false,
        awaitsMemory: Bool = false
    ) throws -> String {
        try DomainDescription(
            definition: definition,
            uuid: uuid,
            usesKVM: usesKVM,
            awaitsMemory: awaitsMemory,
            isBlockDevice: { $0.string.hasPrefix("/dev/") }
        ).xml()
    }

    /// A build machine with everything that a definition can have.
    private static func whole() throws -> VirtualMachineDefinition {
        var definition = try definition(.devices([.network, .disk]))
        definition.disks = [
            VirtualDisk("/build/machines/debian/disk.img"), VirtualDisk("/dev/vg/cache", isReadOnly: true),
            VirtualDisk("scratch.qcow2", format: .qcow2, ignoresFlushes: true),
        ]
        definition.workingDirectory = "/build/machines/debian"
        definition.interfaces = [
            VirtualNetworkInterface(.tap("tap1"), macAddress: try MACAddress("02:00:00:00:00:01")),
            VirtualNetworkInterface(
                .user(forwards: [.init(hostPort: 2222, guestPort: 22)]),
                macAddress: try MACAddress("02:00:00:00:00:02")
            ),
        ]
        definition.display = VirtualDisplay(port: 5901)
        definition.serialLog = "/build/log/serial"
        definition.monitorSocket = "/tmp/monitor-public-1"
        definition.serialSocket = "/tmp/serial-public-1"
        definition.affinity = try CPUSet("0,2-3")
        definition.memoryLimit = MemorySize(gibibytes: 5)
        definition.hasGenerationID = true
        return definition
    }

    @Test("MACH-7, RES-3: everything that a definition says is in the domain, which libvirt's schema accepts")
    func whole() async throws {
        let xml = try Self.xml(try Self.whole())
        #expect(
            xml == """
                <domain type="qemu" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
                  <name>debian-public-1</name>
                  <uuid>3d5cbb4f-7ab2-44a8-8b3c-1cbd1f6b8a10</uuid>
                  <genid/>
                  <memory unit="KiB">4194304</memory>
                  <vcpu cpuset="0,2-3">3</vcpu>
                  <os>
                    <type arch="x86_64" machine="q35">hvm</type>
                  </os>
                  <features>
                    <acpi/>
                  </features>
                  <cpu mode="maximum" check="none"/>
                  <on_poweroff>destroy</on_poweroff>
                  <on_reboot>destroy</on_reboot>
                  <on_crash>preserve</on_crash>
                  <devices>
                    <disk type="file" device="disk">
                      <driver name="qemu" type="raw"/>
                      <source file="/build/machines/debian/disk.img"/>
                      <target dev="vda" bus="virtio"/>
                      <boot order="2"/>
                    </disk>
                    <disk type="block" device="disk">
                      <driver name="qemu" type="raw"/>
                      <source dev="/dev/vg/cache"/>
                      <target dev="vdb" bus="virtio"/>
                      <readonly/>
                    </disk>
                    <disk type="file" device="disk">
                      <driver name="qemu" type="qcow2" cache="unsafe"/>
                      <source file="/build/machines/debian/scratch.qcow2"/>
                      <target dev="vdc" bus="virtio"/>
                    </disk>
                    <controller type="usb" model="none"/>
                    <interface type="ethernet">
                      <mac address="02:00:00:00:00:01"/>
                      <target dev="tap1" managed="no"/>
                      <model type="virtio"/>
                      <boot order="1"/>
                    </interface>
                    <serial type="unix">
                      <source mode="bind" path="/tmp/serial-public-1"/>
                      <log file="/build/log/serial" append="off"/>
                      <target port="0"/>
                    </serial>
                    <graphics type="vnc" port="5901" autoport="no">
                      <listen type="address" address="127.0.0.1"/>
                    </graphics>
                    <video>
                      <model type="vga"/>
                    </video>
                    <memballoon model="none"/>
                    <panic model="isa"/>
                  </devices>
                  <qemu:commandline>
                    <qemu:arg value="-netdev"/>
                    <qemu:arg value="user,id=forwarded1,hostfwd=tcp:127.0.0.1:2222-:22"/>
                    <qemu:arg value="-device"/>
                    <qemu:arg value="virtio-net-pci,netdev=forwarded1,mac=02:00:00:00:00:02,romfile="/>
                    <qemu:arg value="-chardev"/>
                    <qemu:arg value="socket,id=human,path=/tmp/monitor-public-1,server=on,wait=off"/>
                    <qemu:arg value="-mon"/>
                    <qemu:arg value="chardev=human,mode=readline"/>
                  </qemu:commandline>
                </domain>

                """
        )
        try await Self.validate(xml)
    }

    @Test("a kernel of this machine's, KVM, a named processor, and what it says in quotes and brackets")
    func kernel() async throws {
        var definition = try Self.definition(
            .kernel("/boot/a&b/vmlinuz", initrd: "/boot/<initrd>", commandLine: "quiet init=\"/bin/it's\"")
        )
        definition.board = .pc
        definition.cpuModel = "Skylake-Client"
        definition.endsOnReset = false
        definition.monitorSocket = "/tmp/a,b"
        definition.serialLog = "/tmp/log"
        let xml = try Self.xml(definition, usesKVM: true, awaitsMemory: true)
        #expect(
            xml == """
                <domain type="kvm" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
                  <name>debian-public-1</name>
                  <uuid>3d5cbb4f-7ab2-44a8-8b3c-1cbd1f6b8a10</uuid>
                  <memory unit="KiB">4194304</memory>
                  <vcpu>3</vcpu>
                  <os>
                    <type arch="x86_64" machine="pc">hvm</type>
                    <kernel>/boot/a&amp;b/vmlinuz</kernel>
                    <initrd>/boot/&lt;initrd&gt;</initrd>
                    <cmdline>quiet init="/bin/it's"</cmdline>
                  </os>
                  <features>
                    <acpi/>
                  </features>
                  <cpu mode="custom" match="exact" check="none">
                    <model fallback="forbid">Skylake-Client</model>
                  </cpu>
                  <on_poweroff>destroy</on_poweroff>
                  <on_reboot>restart</on_reboot>
                  <on_crash>preserve</on_crash>
                  <devices>
                    <controller type="usb" model="none"/>
                    <serial type="file">
                      <source path="/tmp/log" append="off"/>
                      <target port="0"/>
                    </serial>
                    <video>
                      <model type="none"/>
                    </video>
                    <memballoon model="none"/>
                    <panic model="isa"/>
                  </devices>
                  <qemu:commandline>
                    <qemu:arg value="-chardev"/>
                    <qemu:arg value="socket,id=human,path=/tmp/a,,b,server=on,wait=off"/>
                    <qemu:arg value="-mon"/>
                    <qemu:arg value="chardev=human,mode=readline"/>
                    <qemu:arg value="-incoming"/>
                    <qemu:arg value="defer"/>
                  </qemu:commandline>
                </domain>

                """
        )
        try await Self.validate(xml)
    }

    @Test("a manifest's options take the place of disks and interfaces, with names and directory put in")
    func deviceOptions() async throws {
        var definition = try Self.whole()
        definition.deviceOptions = [
            "-device", "virtio-scsi-pci,id=scsi", "-drive", "if=none,id=disk0,file=disk.img,format=raw",
            "-netdev", "tap,id=net0,ifname=?,script=no", "-device", "virtio-net-pci,netdev=net0,mac=?",
            "-cdrom", "medium.iso", "-drive", "file=fat:/srv/a,,b,if=none,id=fat",
        ]
        definition.workingDirectory = "/build/a,b"
        definition.disks = []
        let xml = try Self.xml(definition)
        let arguments = xml.split(separator: "\n").filter { $0.contains("qemu:arg") }.map {
            $0.split(separator: "\"")[1]
        }
        #expect(
            arguments.prefix(14) == [
                "-device", "virtio-scsi-pci,id=scsi", "-drive", "if=none,id=disk0,file=/build/a,,b/disk.img,format=raw",
                "-netdev", "tap,id=net0,ifname=tap1,script=no", "-device",
                "virtio-net-pci,netdev=net0,mac=02:00:00:00:00:01", "-cdrom", "/build/a,b/medium.iso", "-drive",
                "file=fat:/srv/a,,b,if=none,id=fat", "-boot", "order=nc,strict=off",
            ]
        )
        #expect(!xml.contains("<interface") && !xml.contains("<disk"))
        #expect(xml.contains("slot=\"0x1c\""), "the display is in the way of the options' devices")
        try await Self.validate(xml)
    }

    @Test("what XML can't hold, and what can't be, is refused with the reason")
    func refusals() throws {
        func refusal(_ change: (inout VirtualMachineDefinition) throws -> Void) throws -> String {
            var definition = try Self.whole()
            try change(&definition)
            do throws(VirtualMachineError) {
                _ = try DomainDescription(
                    definition: definition,
                    uuid: Self.uuid,
                    usesKVM: false,
                    awaitsMemory: false,
                    isBlockDevice: { _ in false }
                ).xml()
                return "accepted"
            } catch {
                return "\(error.kind.rawValue): \(error.cause)"
            }
        }
        #expect(try refusal { $0.cpus = 0 } == "invalidDefinition: it has no CPU")
        #expect(try refusal { $0.serialLog = "/tmp/a\u{1}b" } == "invalidDefinition: U+1 can't be written in XML")
        #expect(try refusal { $0.serialLog = "log" } == "invalidDefinition: the path log is relative")
        #expect(try refusal { $0.disks = [] } == "invalidDefinition: it boots from a disk and has none")
        #expect(
            try refusal { $0.display = VirtualDisplay(host: "desk", port: 5900) }.contains("'desk' is not a numeric")
        )
        #expect(try refusal { $0.display = VirtualDisplay(port: 80) }.contains("the display's port 80"))
        #expect(try refusal { $0.interfaces = [.init(.tap("a/b"))] }.contains("'a/b' is not the name of a tap"))
        #expect(try refusal { $0.memoryLimit = MemorySize(gibibytes: 1) }.contains("is below its memory"))
        #expect(
            try refusal { $0.board = .microvm }
                == "unsupported: the board microvm: not supported by the backend 'libvirt' "
                + "('buildosctl backends' lists what each backend can do)"
        )
        #expect(
            try refusal {
                $0.deviceOptions = ["-netdev", "tap,ifname=?"]
                $0.interfaces = []
            } == "invalidDefinition: 'ifname=?' stands for a tap device, and the machine has none"
        )
    }

    @Test("whatever text is written, a reader of XML gets it back, and never as markup")
    func escaping() async throws {
        guard Requirements.isMet(FileTree.exists("/usr/bin/xmllint"), "xmllint is missing: apt install libxml2-utils")
        else { return }
        var random = SeededGenerator(seed: 41)
        let alphabet: [Character] = [
            "&", "<", ">", "\"", "'", "]", "-", "!", "\t", "\n", "\r", "a", "é", "😀", ";", "#",
        ]
        var root = XMLElement("root")
        var texts: [String] = []
        for _ in 0..<200 {
            let length = Int.random(in: 1...12, using: &random)
            let text = String((0..<length).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &random)] })
            texts.append(text)
            root.append(XMLElement("item", ["value": text], text: text))
        }
        let document = try root.document()
        try await withTemporaryDirectory { directory in
            let file = directory.appending("document.xml")
            try FileTree.write(document, to: file)
            for (index, text) in texts.enumerated().filter({ $0.offset % 20 == 0 }) {
                for part in ["@value", "text()"] {
                    let result = try await LocalTransport().check(
                        Command("xmllint", ["--xpath", "string(/root/item[\(index + 1)]/\(part))", file.string])
                    )
                    #expect(result.outputText == text + "\n")
                }
            }
            try await LocalTransport().check(Command("xmllint", ["--noout", file.string]))
        }
    }

    private static func validate(_ xml: String) async throws {
        let tool = "/usr/bin/virt-xml-validate"
        guard Requirements.isMet(FileTree.exists(FilePath(tool)), "no \(tool): apt install libvirt-clients") else {
            return
        }
        try await withTemporaryDirectory { directory in
            let file = directory.appending("domain.xml")
            try FileTree.write(xml, to: file)
            try await LocalTransport().check(Command(tool, [file.string, "domain"]))
        }
    }
}
