import BuildOSKit
import QMP

/// QEMU's arguments for a definition that was checked: what a machine is, and nothing of this process (qemu(1)).
struct QEMUArguments {
    let definition: VirtualMachineDefinition
    let directory: RunDirectory
    let usesKVM: Bool
    /// Addresses for the interfaces that name none.
    let macAddresses: [MACAddress]
    /// Disks that are block devices, by their position.
    let blockDevices: Set<Int>
    let isRestoring: Bool

    /// Number of the descriptor, in the new process, of the QMP connection of who started it.
    static let monitorDescriptor: Int32 = 3

    var all: [String] { base + firmware + channels + (definition.deviceOptions.map(replaced) ?? devices) }

    private var base: [String] {
        let definition = definition
        var arguments = [
            "-name", "guest=\(definition.name),debug-threads=on",
            "-nodefaults", "-no-user-config",
            "-machine", definition.board == .microvm ? "microvm,acpi=on" : definition.board.rawValue,
            "-accel", usesKVM ? "kvm" : "tcg",
            "-cpu", definition.cpuModel ?? (usesKVM ? "host" : "max"),
            "-smp", "\(definition.cpus)",
            "-m", "size=\(definition.memory.kibibytes)k",
            "-action",
            "reboot=\(definition.endsOnReset ? "shutdown" : "reset"),shutdown=poweroff,panic=pause",
            "-device", Self.json(["driver": "pvpanic"]),
            "-display", "none",
        ]
        // A machine's own options may need what the sandbox forbids.
        if definition.deviceOptions == nil {
            arguments += ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny"]
        }
        if definition.hasGenerationID { arguments += ["-device", Self.json(["driver": "vmgenid", "guid": "auto"])] }
        if let display = definition.display {
            let host = display.host.contains(":") ? "[\(display.host)]" : display.host
            arguments += ["-vnc", "\(host):\(display.port - DefinitionCheck.firstDisplayPort)"]
            if definition.board != .microvm { arguments += ["-vga", "std"] }
        }
        if definition.startsPaused { arguments.append("-S") }
        if isRestoring { arguments += ["-incoming", "defer"] }
        return arguments
    }

    private var firmware: [String] {
        switch definition.boot {
        case .kernel(let kernel, let initrd, let commandLine):
            ["-kernel", definition.resolve(kernel).string]
                + (initrd.map { ["-initrd", definition.resolve($0).string] } ?? [])
                + (commandLine.isEmpty ? [] : ["-append", commandLine])
        case .devices(let devices) where definition.deviceOptions != nil:
            ["-boot", "order=" + devices.map { $0 == .disk ? "c" : "n" }.joined()]
        case .devices: ["-boot", "strict=on"]
        }
    }

    /// The monitors and the serial port.
    private var channels: [String] {
        var arguments = Self.monitor("qmp", "control", "fd=\(Self.monitorDescriptor)")
        for slot in 0..<RunDirectory.slots {
            let path = Self.escaped(directory.socket(slot).string)
            arguments += Self.monitor("qmp-\(slot)", "control", "path=\(path),server=on,wait=off")
        }
        if let path = definition.monitorSocket {
            arguments += Self.monitor("hmp", "readline", "path=\(Self.escaped(path.string)),server=on,wait=off")
        }
        return arguments + ["-chardev", serial, "-serial", "chardev:serial"]
    }

    private var serial: String {
        let log = definition.serialLog.map { Self.escaped($0.string) }
        guard let socket = definition.serialSocket else {
            return log.map { "file,id=serial,path=\($0),append=off" } ?? "null,id=serial"
        }
        return "socket,id=serial,path=\(Self.escaped(socket.string)),server=on,wait=off"
            + (log.map { ",logfile=\($0),logappend=off" } ?? "")
    }

    private var devices: [String] {
        let transport = definition.board == .microvm ? "device" : "pci"
        var arguments: [String] = []
        for (index, disk) in definition.disks.enumerated() {
            arguments += ["-blockdev", "\(blockNode(index, disk))"]
            var device: [String: JSONValue] = [
                "driver": .string("virtio-blk-\(transport)"), "drive": .string("disk\(index)"),
                "id": .string("virtio-disk\(index)"),
            ]
            if index == 0, let order = bootIndex(.disk) { device["bootindex"] = order }
            arguments += ["-device", Self.json(device)]
        }
        for (index, interface) in definition.interfaces.enumerated() {
            arguments += ["-netdev", Self.network(interface.connection, id: "net\(index)")]
            var device: [String: JSONValue] = [
                "driver": .string("virtio-net-\(transport)"), "netdev": .string("net\(index)"),
                "id": .string("virtio-net\(index)"), "mac": .string(macAddress(index).description),
            ]
            if index == 0, let order = bootIndex(.network) {
                device["bootindex"] = order
            } else if definition.board != .microvm {
                // Without its ROM it neither boots nor takes time to find that out.
                device["romfile"] = ""
            }
            arguments += ["-device", Self.json(device)]
        }
        return arguments
    }

    private func blockNode(_ index: Int, _ disk: VirtualDisk) -> JSONValue {
        [
            "driver": .string(disk.format.rawValue),
            "node-name": .string("disk\(index)"),
            "read-only": .bool(disk.isReadOnly),
            "cache": ["no-flush": .bool(disk.ignoresFlushes)],
            "file": [
                "driver": .string(blockDevices.contains(index) ? "host_device" : "file"),
                "filename": .string(definition.resolve(disk.path).string),
            ],
        ]
    }

    private static func network(_ connection: VirtualNetworkInterface.Connection, id: String) -> String {
        switch connection {
        case .tap(let name): "tap,id=\(id),ifname=\(escaped(name)),script=no,downscript=no"
        case .user(let forwards):
            "user,id=\(id)" + forwards.map { ",hostfwd=tcp:127.0.0.1:\($0.hostPort)-:\($0.guestPort)" }.joined()
        }
    }

    private func bootIndex(_ device: VirtualMachineBoot.BootDevice) -> JSONValue? {
        guard case .devices(let order) = definition.boot, let index = order.firstIndex(of: device) else { return nil }
        return .integer(Int64(index + 1))
    }

    private func macAddress(_ index: Int) -> MACAddress {
        definition.interfaces[index].macAddress ?? macAddresses[index]
    }

    /// A manifest's options with the first interface's names in place of the question marks.
    private func replaced(_ options: [String]) -> [String] {
        guard let interface = definition.interfaces.first else { return options }
        return options.map { option in
            var fields = option.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            for index in fields.indices {
                if fields[index] == "mac=?" { fields[index] = "mac=\(macAddress(0))" }
                if fields[index] == "ifname=?", case .tap(let name) = interface.connection {
                    fields[index] = "ifname=\(Self.escaped(name))"
                }
            }
            return fields.joined(separator: ",")
        }
    }

    private static func monitor(_ id: String, _ mode: String, _ socket: String) -> [String] {
        ["-chardev", "socket,id=\(id),\(socket)", "-mon", "chardev=\(id),mode=\(mode)"]
    }

    private static func json(_ members: [String: JSONValue]) -> String { JSONValue.object(members).description }

    /// A value in QEMU's lists of options, where a comma is written twice.
    static func escaped(_ value: String) -> String {
        value.split(separator: ",", omittingEmptySubsequences: false).joined(separator: ",,")
    }
}

extension VirtualMachineDefinition {
    /// A path as it is seen from this process.
    func resolve(_ path: FilePath) -> FilePath {
        guard path.isRelative, let workingDirectory else { return path }
        return workingDirectory.pushing(path)
    }
}
