import BuildOSKit
import Glibc

/// The domain XML of a virtual machine (libvirt.org/formatdomain.html).
///
/// What libvirt has no element for goes to QEMU's command line by libvirt's own name space for that: the human monitor's
/// socket, forwarded ports, the options of a machine's manifest, and the memory that it is to start with.
struct DomainDescription {
    /// The machine.
    let definition: VirtualMachineDefinition
    /// Its identity in libvirt.
    let uuid: String
    /// Whether it runs on KVM.
    let usesKVM: Bool
    /// Whether it waits for memory and devices to be sent to it.
    let awaitsMemory: Bool
    /// Whether a disk is a block device, which libvirt wants to be told.
    let isBlockDevice: @Sendable (FilePath) -> Bool

    /// Writes it.
    ///
    /// - Throws: `VirtualMachineError` of kind `invalidDefinition` or `unsupported`.
    func xml() throws(VirtualMachineError) -> String {
        guard definition.board != .microvm else {
            throw .unsupported("the board microvm", definition.name, backend: LibvirtProvider.name)
        }
        do throws(InvalidValue) {
            try check()
            return try domain().document()
        } catch {
            throw VirtualMachineError(
                .invalidDefinition,
                machine: definition.name.description,
                detail: error.cause
            )
        }
    }

    private func check() throws(InvalidValue) {
        guard definition.cpus >= 1 else { throw InvalidValue("it has no CPU") }
        guard definition.memory.kibibytes >= 1024 else { throw InvalidValue("\(definition.memory) are no memory") }
        if let limit = definition.memoryLimit, limit < definition.memory {
            throw InvalidValue("its memory limit, \(limit), is below its memory, \(definition.memory)")
        }
        guard (-20...19).contains(definition.nice) else {
            throw InvalidValue("the nice value \(definition.nice) is not between -20 and 19")
        }
        if let display = definition.display {
            guard (5900...65535).contains(display.port) else {
                throw InvalidValue("the display's port \(display.port) is not between 5900 and 65535")
            }
            guard Self.isNumeric(display.host) else { throw InvalidValue("'\(display.host)' is not a numeric address") }
        }
        if case .devices(let devices) = definition.boot {
            guard !devices.isEmpty else { throw InvalidValue("it has nothing to boot from") }
            guard Set(devices).count == devices.count else { throw InvalidValue("a boot device is named twice") }
            if definition.deviceOptions == nil {
                if devices.contains(.disk), definition.disks.isEmpty {
                    throw InvalidValue("it boots from a disk and has none")
                }
                if devices.contains(.network), definition.interfaces.isEmpty {
                    throw InvalidValue("it boots from the network and has no interface")
                }
            }
        }
        for interface in definition.interfaces {
            switch interface.connection {
            case .tap(let name):
                guard (1...15).contains(name.utf8.count), !name.contains("/") else {
                    throw InvalidValue("'\(name)' is not the name of a tap device")
                }
            case .user(let forwards):
                for port in forwards.flatMap({ [$0.hostPort, $0.guestPort] }) {
                    guard (1...65535).contains(port) else { throw InvalidValue("\(port) is not a port") }
                }
            }
        }
        for case let (name, socket?) in [("monitor", definition.monitorSocket), ("serial", definition.serialSocket)] {
            // unix(7): 108 bytes with the final zero.
            guard socket.string.utf8.count < 108 else {
                throw InvalidValue("the path of its \(name) socket, \(socket), is longer than 107 bytes")
            }
        }
        for path in paths {
            guard FilePath(path.string) == path else { throw InvalidValue("the path \(path) is not valid UTF-8") }
            guard path.isAbsolute else { throw InvalidValue("the path \(path) is relative") }
        }
    }

    private var paths: [FilePath] {
        var paths = definition.disks.map { definition.resolve($0.path) }
        paths += [
            definition.serialLog, definition.monitorSocket, definition.serialSocket, definition.workingDirectory,
        ].compactMap { $0 }
        if case .kernel(let kernel, let initrd, _) = definition.boot { paths += [kernel, initrd].compactMap { $0 } }
        return paths
    }

    private func domain() throws(InvalidValue) -> XMLElement {
        let arguments = try commandLine()
        var domain = XMLElement(
            "domain",
            [
                "type": usesKVM ? "kvm" : "qemu",
                "xmlns:qemu": arguments.isEmpty ? nil : "http://libvirt.org/schemas/domain/qemu/1.0",
            ]
        )
        domain.append(XMLElement("name", text: definition.name.description))
        domain.append(XMLElement("uuid", text: uuid))
        // Without a value libvirt makes one, and another whenever memory is restored.
        if definition.hasGenerationID { domain.append(XMLElement("genid")) }
        domain.append(XMLElement("memory", ["unit": "KiB"], text: String(definition.memory.kibibytes)))
        domain.append(
            XMLElement("vcpu", ["cpuset": definition.affinity?.description], text: String(definition.cpus))
        )
        domain.append(operatingSystem)
        domain.append(XMLElement("features", children: [XMLElement("acpi")]))
        domain.append(processor)
        domain.append(XMLElement("on_poweroff", text: "destroy"))
        domain.append(XMLElement("on_reboot", text: definition.endsOnReset ? "destroy" : "restart"))
        domain.append(XMLElement("on_crash", text: "preserve"))
        domain.append(devices)
        if !arguments.isEmpty {
            domain.append(
                XMLElement("qemu:commandline", children: arguments.map { XMLElement("qemu:arg", ["value": $0]) })
            )
        }
        return domain
    }

    private var operatingSystem: XMLElement {
        let machine = definition.board == .pc ? "pc" : "q35"
        var element = XMLElement(
            "os",
            children: [XMLElement("type", ["arch": "x86_64", "machine": machine], text: "hvm")]
        )
        if case .kernel(let kernel, let initrd, let commandLine) = definition.boot {
            element.append(XMLElement("kernel", text: kernel.string))
            element.append(initrd.map { XMLElement("initrd", text: $0.string) })
            if !commandLine.isEmpty { element.append(XMLElement("cmdline", text: commandLine)) }
        }
        return element
    }

    private var processor: XMLElement {
        switch definition.cpuModel {
        case "host": XMLElement("cpu", ["mode": "host-passthrough", "check": "none"])
        case nil where usesKVM: XMLElement("cpu", ["mode": "host-passthrough", "check": "none"])
        case nil, "max": XMLElement("cpu", ["mode": "maximum", "check": "none"])
        // Unchecked: QEMU leaves out what it can't emulate, as it does when it is started directly.
        case let model?:
            XMLElement(
                "cpu",
                ["mode": "custom", "match": "exact", "check": "none"],
                children: [XMLElement("model", ["fallback": "forbid"], text: model)]
            )
        }
    }

    private var devices: XMLElement {
        var element = XMLElement("devices")
        if definition.deviceOptions == nil {
            for (index, disk) in definition.disks.enumerated() { element.append(self.disk(disk, index)) }
        }
        element.append(XMLElement("controller", ["type": "usb", "model": "none"]))
        if definition.deviceOptions == nil {
            for (index, interface) in definition.interfaces.enumerated() {
                element.append(self.interface(interface, index))
            }
        }
        element.append(serial)
        if let display = definition.display {
            element.append(
                XMLElement(
                    "graphics",
                    ["type": "vnc", "port": String(display.port), "autoport": "no"],
                    children: [XMLElement("listen", ["type": "address", "address": display.host])]
                )
            )
            var video = XMLElement("video", children: [XMLElement("model", ["type": "vga"])])
            video.append(videoAddress)
            element.append(video)
        } else {
            element.append(XMLElement("video", children: [XMLElement("model", ["type": "none"])]))
        }
        element.append(XMLElement("memballoon", ["model": "none"]))
        element.append(XMLElement("panic", ["model": "isa"]))
        return element
    }

    /// QEMU puts the devices of a manifest's options into the first free slots of the bus, of which libvirt knows nothing and
    /// would give the first to the display.
    private var videoAddress: XMLElement? {
        guard definition.deviceOptions != nil else { return nil }
        return XMLElement(
            "address",
            ["type": "pci", "domain": "0x0000", "bus": "0x00", "slot": "0x1c", "function": "0x0"]
        )
    }

    private var serial: XMLElement? {
        let log = definition.serialLog?.string
        let target = XMLElement("target", ["port": "0"])
        guard let socket = definition.serialSocket else {
            return log.map { log in
                XMLElement(
                    "serial",
                    ["type": "file"],
                    children: [XMLElement("source", ["path": log, "append": "off"]), target]
                )
            }
        }
        var element = XMLElement("serial", ["type": "unix"])
        element.append(XMLElement("source", ["mode": "bind", "path": socket.string]))
        element.append(log.map { XMLElement("log", ["file": $0, "append": "off"]) })
        element.append(target)
        return element
    }

    private func disk(_ disk: VirtualDisk, _ index: Int) -> XMLElement {
        let path = definition.resolve(disk.path)
        let isBlock = isBlockDevice(path)
        var element = XMLElement("disk", ["type": isBlock ? "block" : "file", "device": "disk"])
        element.append(
            XMLElement(
                "driver",
                ["name": "qemu", "type": disk.format.rawValue, "cache": disk.ignoresFlushes ? "unsafe" : nil]
            )
        )
        element.append(XMLElement("source", ["dev": isBlock ? path.string : nil, "file": isBlock ? nil : path.string]))
        element.append(XMLElement("target", ["dev": "vd\(Self.letters(index))", "bus": "virtio"]))
        if disk.isReadOnly { element.append(XMLElement("readonly")) }
        element.append(bootOrder(of: .disk, index).map { XMLElement("boot", ["order": String($0)]) })
        return element
    }

    private func interface(_ interface: VirtualNetworkInterface, _ index: Int) -> XMLElement? {
        var element: XMLElement
        switch interface.connection {
        case .tap(let name):
            element = XMLElement("interface", ["type": "ethernet"])
            element.append(interface.macAddress.map { XMLElement("mac", ["address": $0.description]) })
            element.append(XMLElement("target", ["dev": name, "managed": "no"]))
        case .user(let forwards):
            guard forwards.isEmpty else { return nil }
            element = XMLElement("interface", ["type": "user"])
            element.append(interface.macAddress.map { XMLElement("mac", ["address": $0.description]) })
        }
        element.append(XMLElement("model", ["type": "virtio"]))
        if let place = bootOrder(of: .network, index) {
            element.append(XMLElement("boot", ["order": String(place)]))
        } else {
            // Without its ROM it neither boots nor takes time to find that out.
            element.append(XMLElement("rom", ["enabled": "no"]))
        }
        return element
    }

    /// The place of a device in the order in which the firmware tries them, from 1; `nil` for one that it doesn't try:
    /// any but the first of its kind.
    private func bootOrder(of kind: VirtualMachineBoot.BootDevice, _ index: Int) -> Int? {
        guard index == 0, case .devices(let order) = definition.boot else { return nil }
        return order.firstIndex(of: kind).map { $0 + 1 }
    }

    private func commandLine() throws(InvalidValue) -> [String] {
        var arguments: [String] = []
        if let options = definition.deviceOptions {
            arguments += try DeviceOptions(
                options,
                interface: definition.interfaces.first,
                workingDirectory: definition.workingDirectory
            ).arguments
            if case .devices(let order) = definition.boot {
                let letters = order.map { $0 == .disk ? "c" : "n" }.joined()
                // libvirt's own `strict=on` would leave out devices without a place of their own.
                arguments += ["-boot", "order=\(letters),strict=off"]
            }
        } else {
            for (index, interface) in definition.interfaces.enumerated() {
                guard case .user(let forwards) = interface.connection, !forwards.isEmpty else { continue }
                let ports = forwards.map { ",hostfwd=tcp:127.0.0.1:\($0.hostPort)-:\($0.guestPort)" }.joined()
                var device = "virtio-net-pci,netdev=forwarded\(index)"
                if let address = interface.macAddress { device += ",mac=\(address)" }
                device += bootOrder(of: .network, index).map { ",bootindex=\($0)" } ?? ",romfile="
                arguments += ["-netdev", "user,id=forwarded\(index)\(ports)", "-device", device]
            }
        }
        if let socket = definition.monitorSocket {
            let path = DeviceOptions.escaped(socket.string)
            arguments += ["-chardev", "socket,id=human,path=\(path),server=on,wait=off"]
            arguments += ["-mon", "chardev=human,mode=readline"]
        }
        if awaitsMemory { arguments += ["-incoming", "defer"] }
        return arguments
    }

    /// `a` to `z`, `aa`, …: the names of disks.
    private static func letters(_ index: Int) -> String {
        let last = String(UnicodeScalar(UInt8(97 + index % 26)))
        return index < 26 ? last : letters(index / 26 - 1) + last
    }

    private static func isNumeric(_ host: String) -> Bool {
        var address = in6_addr()
        return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1
    }
}

extension VirtualMachineDefinition {
    /// A path as it is seen from elsewhere than the working directory.
    func resolve(_ path: FilePath) -> FilePath {
        guard path.isRelative, let workingDirectory else { return path }
        return workingDirectory.pushing(path)
    }
}
