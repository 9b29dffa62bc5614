import BuildOSKit
import Testing

@testable import QEMUDirect

@Suite("Arguments of QEMU") struct QEMUArgumentsTests {
    static func definition(_ boot: VirtualMachineBoot) throws -> VirtualMachineDefinition {
        VirtualMachineDefinition(
            name: try #require(VirtualMachineName("linux-default-1")),
            memory: MemorySize(gibibytes: 4),
            cpus: 2,
            boot: boot,
            runtimeDirectory: "/run/m,1"
        )
    }

    static func arguments(
        _ definition: VirtualMachineDefinition,
        usesKVM: Bool = false,
        isRestoring: Bool = false
    ) throws -> [String] {
        QEMUArguments(
            definition: definition,
            directory: RunDirectory(definition.runtimeDirectory),
            usesKVM: usesKVM,
            macAddresses: try definition.interfaces.map { _ in try MACAddress("52:54:00:00:00:01") },
            blockDevices: [1],
            isRestoring: isRestoring
        ).all
    }

    /// The values of an option, in order.
    static func values(_ option: String, _ arguments: [String]) -> [String] {
        arguments.indices.dropLast().filter { arguments[$0] == option }.map { arguments[$0 + 1] }
    }

    @Test("BOT-2: a build machine: KVM, tap, disk, display, monitor")
    func buildMachine() throws {
        var definition = try Self.definition(.devices([.disk]))
        definition.disks = [VirtualDisk("disk.img", ignoresFlushes: true), VirtualDisk("/dev/sdb", isReadOnly: true)]
        definition.workingDirectory = "/build/machines/m"
        definition.interfaces = [VirtualNetworkInterface(.tap("tap11"))]
        definition.display = VirtualDisplay(port: 5901)
        definition.monitorSocket = "/tmp/monitor-default-1"
        definition.serialSocket = "/tmp/serial-default-1"
        definition.serialLog = "/run/serial"
        let arguments = try Self.arguments(definition, usesKVM: true)
        #expect(
            arguments == [
                "-name", "guest=linux-default-1,debug-threads=on", "-nodefaults", "-no-user-config", "-machine", "q35",
                "-accel", "kvm", "-cpu", "host", "-smp", "2", "-m", "size=4194304k",
                "-action", "reboot=shutdown,shutdown=poweroff,panic=pause", "-device", #"{"driver": "pvpanic"}"#,
                "-display", "none", "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny",
                "-vnc", "127.0.0.1:1", "-vga", "std", "-boot", "strict=on",
                "-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control",
                "-chardev", "socket,id=qmp-0,path=/run/m,,1/qmp-0,server=on,wait=off",
                "-mon", "chardev=qmp-0,mode=control",
                "-chardev", "socket,id=qmp-1,path=/run/m,,1/qmp-1,server=on,wait=off",
                "-mon", "chardev=qmp-1,mode=control",
                "-chardev", "socket,id=qmp-2,path=/run/m,,1/qmp-2,server=on,wait=off",
                "-mon", "chardev=qmp-2,mode=control",
                "-chardev", "socket,id=hmp,path=/tmp/monitor-default-1,server=on,wait=off",
                "-mon", "chardev=hmp,mode=readline",
                "-chardev",
                "socket,id=serial,path=/tmp/serial-default-1,server=on,wait=off,logfile=/run/serial,logappend=off",
                "-serial", "chardev:serial",
                "-blockdev",
                #"{"cache": {"no-flush": true}, "driver": "raw", "file": {"driver": "file", "#
                    + #""filename": "/build/machines/m/disk.img"}, "node-name": "disk0", "read-only": false}"#,
                "-device",
                #"{"bootindex": 1, "drive": "disk0", "driver": "virtio-blk-pci", "id": "virtio-disk0"}"#,
                "-blockdev",
                #"{"cache": {"no-flush": false}, "driver": "raw", "file": {"driver": "host_device", "#
                    + #""filename": "/dev/sdb"}, "node-name": "disk1", "read-only": true}"#,
                "-device", #"{"drive": "disk1", "driver": "virtio-blk-pci", "id": "virtio-disk1"}"#,
                "-netdev", "tap,id=net0,ifname=tap11,script=no,downscript=no",
                "-device",
                #"{"driver": "virtio-net-pci", "id": "virtio-net0", "mac": "52:54:00:00:00:01", "netdev": "net0", "#
                    + #""romfile": ""}"#,
            ]
        )
    }

    @Test("the serial port is a socket, a file, both, or nothing", arguments: [nil, "/s,1"], [nil, "/l,1"])
    func serial(socket: String?, log: String?) throws {
        var definition = try Self.definition(.devices([.disk]))
        definition.disks = [VirtualDisk("/d")]
        definition.serialSocket = socket.map { FilePath($0) }
        definition.serialLog = log.map { FilePath($0) }
        let expected =
            switch (socket != nil, log != nil) {
            case (true, true): "socket,id=serial,path=/s,,1,server=on,wait=off,logfile=/l,,1,logappend=off"
            case (true, false): "socket,id=serial,path=/s,,1,server=on,wait=off"
            case (false, true): "file,id=serial,path=/l,,1,append=off"
            case (false, false): "null,id=serial"
            }
        #expect(Self.values("-chardev", try Self.arguments(definition)).last == expected)
    }

    @Test("a kernel on a microvm, restored: no PCI devices, no firmware's order")
    func microvm() throws {
        var definition = try Self.definition(.kernel("/k", initrd: "/i", commandLine: "a b=\"c,d\""))
        definition.board = .microvm
        definition.disks = [VirtualDisk("/d.qcow2", format: .qcow2)]
        let forwards = [(2222, 22), (8080, 80)].map {
            VirtualNetworkInterface.PortForwarding(hostPort: $0.0, guestPort: $0.1)
        }
        definition.interfaces = [VirtualNetworkInterface(.user(forwards: forwards))]
        definition.display = VirtualDisplay(host: "::1", port: 5999)
        definition.endsOnReset = false
        let arguments = try Self.arguments(definition, isRestoring: true)
        #expect(Self.values("-machine", arguments) == ["microvm,acpi=on"])
        #expect(Self.values("-kernel", arguments) + Self.values("-initrd", arguments) == ["/k", "/i"])
        #expect(Self.values("-append", arguments) == ["a b=\"c,d\""])
        #expect(Self.values("-incoming", arguments) == ["defer"])
        #expect(Self.values("-action", arguments) == ["reboot=reset,shutdown=poweroff,panic=pause"])
        #expect(Self.values("-vnc", arguments) == ["[::1]:99"])
        #expect(Self.values("-chardev", arguments).last == "null,id=serial")
        #expect(!arguments.contains("-boot") && !arguments.contains("-vga"))
        #expect(
            Self.values("-netdev", arguments) == [
                "user,id=net0,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=tcp:127.0.0.1:8080-:80"
            ]
        )
        #expect(arguments.contains { $0.contains("virtio-blk-device") })
        #expect(!arguments.contains { $0.contains("-pci") })
    }

    @Test("a manifest's options replace disks and interfaces, question marks filled in, the order of booting kept")
    func manifestOptions() throws {
        var definition = try Self.definition(.devices([.network, .disk]))
        definition.disks = [VirtualDisk("/unused")]
        definition.interfaces = [VirtualNetworkInterface(.tap("tap1"), macAddress: try MACAddress("de:ad:be:ef:de:ad"))]
        definition.deviceOptions = [
            "-netdev", "tap,id=net0,ifname=?,script=no", "-device", "virtio-net-pci,netdev=net0,mac=?",
            "-smbios", "type=1,serial=a,,mac=??",
        ]
        let arguments = try Self.arguments(definition)
        #expect(
            arguments.suffix(6) == [
                "-netdev", "tap,id=net0,ifname=tap1,script=no",
                "-device", "virtio-net-pci,netdev=net0,mac=de:ad:be:ef:de:ad", "-smbios", "type=1,serial=a,,mac=??",
            ]
        )
        #expect(Self.values("-boot", arguments) == ["order=nc"])
        #expect(!arguments.contains("-blockdev") && !arguments.contains("-sandbox"))
    }
}
