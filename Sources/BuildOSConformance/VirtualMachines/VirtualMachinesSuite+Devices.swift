import BuildOSKit
import Glibc

extension VirtualMachinesSuite {
    var endPoints: [ConformanceCheck] {
        [
            check("the display speaks VNC at its port, as long as the machine runs (MACH-7)") { bench in
                let port = try SocketClient.freePort()
                var definition = try bench.sectorDefinition()
                definition.display = VirtualDisplay(port: port)
                let machine = try await bench.start(definition, until: "from the disk")
                let heard = try await DedicatedThread.run(name: "vnc-client") { () throws(Errno) in
                    try SocketClient(port: port).hear(until: "\n")
                }
                try require(heard.hasPrefix("RFB 003."), "heard '\(heard)'")
                try await machine.kill()
                let isOpen = await DedicatedThread.run(name: "vnc-client") { (try? SocketClient(port: port)) != nil }
                try require(!isOpen, "the port is still open")
            },
            check("the monitor socket takes an operator's stop, cont and system_powerdown (MACH-7)") { bench in
                let socket = bench.directory.appending("monitor")
                var definition = try bench.definition("idle")
                definition.monitorSocket = socket
                let machine = try await bench.start(definition, until: "READY")
                let heard = try await Self.say("info status\n", to: socket)
                try require(heard.contains("running"), "heard '\(heard)'")
                _ = try await Self.say("stop\n", to: socket)
                try await bench.until("it is paused") {
                    if case .paused = try await machine.state() { true } else { false }
                }
                _ = try await Self.say("cont\n", to: socket)
                try await bench.until("it runs") { try await machine.state() == .running }
                _ = try await Self.say("system_powerdown\n", to: socket)
                try await bench.expectEnd(machine, .guestShutdown)
            },
            check("the serial socket leads both ways, the log has it all, nobody else can connect (MACH-7)") { bench in
                let socket = bench.directory.appending("serial,port")
                var definition = try bench.definition("echo")
                definition.serialSocket = socket
                if let log = definition.serialLog { try FileTree.write("what was there before", to: log) }
                // Nobody is connected while it boots: what it says then is in the log, and doesn't hold it up.
                let machine = try await bench.start(definition, until: "READY")
                try require(!bench.serial(definition).contains("before"), "the log doesn't begin with the machine")
                var status = stat()
                try require(lstat(socket.string, &status) == 0, "there is no socket")
                try require(status.st_mode & 0o002 == 0, "all can connect: mode \(status.st_mode)")
                for text in ["hello", "hello again"] {
                    let heard = try await DedicatedThread.run(name: "serial-client") { () throws(Errno) in
                        let client = try SocketClient(path: socket)
                        client.say("\(text)\n")
                        return client.hear(until: "heard \(text)\r\n")
                    }
                    try require(heard.contains("heard \(text)\r\n"), "heard '\(heard)'")
                    try require(!heard.contains("READY"), "what came before is said again: '\(heard)'")
                    try await bench.wait(for: "heard \(text)", from: definition, of: machine)
                }
                try await machine.kill()
                try await bench.expectNothingLeft(of: definition)
            },
            check("without a log, the serial socket tells what the guest says") { bench in
                var definition = try bench.definition("tick")
                definition.serialLog = nil
                definition.serialSocket = bench.directory.appending("serial")
                try await bench.start(definition)
                let heard = try await DedicatedThread.run(name: "serial-client") { () throws(Errno) in
                    try SocketClient(path: bench.directory.appending("serial")).hear(until: "tick ")
                }
                try require(heard.contains("tick "), "heard '\(heard)'")
            },
            check("an operator's quit ends the machine as killed") { bench in
                var definition = try bench.sectorDefinition()
                definition.monitorSocket = bench.directory.appending("monitor")
                let machine = try await bench.start(definition, until: "from the disk")
                _ = try await Self.say("quit\n", to: bench.directory.appending("monitor"))
                try await bench.expectEnd(machine, .killed)
                try await bench.expectNothingLeft(of: definition)
            },
            check("a port of this machine leads to the guest's") { bench in
                let port = try SocketClient.freePort()
                var definition = try bench.definition("network")
                let forwarding = VirtualNetworkInterface.PortForwarding(hostPort: port, guestPort: 4000)
                definition.interfaces = [VirtualNetworkInterface(.user(forwards: [forwarding]))]
                try await bench.start(definition, until: "listening")
                // "listening" is said a moment before it is so.
                try await bench.until("the guest answers") {
                    await DedicatedThread.run(name: "tcp-client") {
                        (try? SocketClient(port: port).hear(until: "guest"))?.contains("hello from the guest") ?? false
                    }
                }
            },
        ]
    }

    var bootOrder: [ConformanceCheck] {
        [
            check("the first of several disks is booted, before the network if it is named first") { bench in
                var definition = try bench.sectorDefinition("from the first")
                definition.disks.append(VirtualDisk(try bench.bootDisk("from the second", "second"), isReadOnly: true))
                definition.interfaces = [VirtualNetworkInterface(.user(forwards: []))]
                definition.boot = .devices([.disk, .network])
                try await bench.start(definition, until: "from the first")
            },
            check("without an answer from the network, the disk named after it is booted") { bench in
                var definition = try bench.sectorDefinition()
                definition.interfaces = [VirtualNetworkInterface(.user(forwards: []))]
                definition.boot = .devices([.network, .disk])
                try await bench.start(definition, until: "from the disk")
            },
            check("the order of boot devices is kept with a manifest's options too") { bench in
                guard bench.capabilities.deviceOptions else { throw ConformanceSkip(notOffered: "device-options") }
                try FileTree.write(BootSector("from the network").bytes, to: bench.directory.appending("program.0"))
                _ = try bench.bootDisk("from the disk", "disk.img")
                for (order, expected, other): ([VirtualMachineBoot.BootDevice], String, String) in [
                    ([.network, .disk], "from the network", "from the disk"),
                    ([.disk, .network], "from the disk", "from the network"),
                ] {
                    var definition = try bench.sectorDefinition(named: "\(order[0])")
                    definition.boot = .devices(order)
                    definition.disks = []
                    definition.interfaces = [VirtualNetworkInterface(.user(forwards: []))]
                    definition.workingDirectory = bench.directory
                    definition.deviceOptions = [
                        "-drive", "if=virtio,file=disk.img,format=raw,readonly=on",
                        "-netdev", "user,id=net0,tftp=\(bench.directory),bootfile=program.0",
                        "-device", "virtio-net-pci,netdev=net0,mac=?",
                    ]
                    let machine = try await bench.start(definition, until: expected)
                    try require(!bench.serial(definition).contains(other), "it came \(other) before")
                    try await machine.kill()
                }
            },
        ]
    }

    var devices: [ConformanceCheck] {
        [
            check("what a guest writes is in the disk's file, and a read-only disk stays as it is") { bench in
                for isReadOnly in [false, true] {
                    let disk = try bench.disk("untouched", "\(isReadOnly).img")
                    var definition = try bench.definition("write", named: "\(isReadOnly)")
                    definition.disks = [VirtualDisk(disk, isReadOnly: isReadOnly, ignoresFlushes: !isReadOnly)]
                    let machine = try await bench.start(definition, until: isReadOnly ? "refused" : "wrote")
                    try await machine.kill()
                    let content = String(decoding: try FileTree.read(disk, limit: 4 << 20).prefix(14), as: UTF8.self)
                    let expected = isReadOnly ? "untouched" : "guest was here"
                    try require(content.hasPrefix(expected), "the file begins with '\(content)'")
                }
            },
            check("options of a manifest replace disks and interfaces, relative to the working directory") { bench in
                guard bench.capabilities.deviceOptions else { throw ConformanceSkip(notOffered: "device-options") }
                _ = try bench.disk("frommanifest", "disk.img")
                var definition = try bench.definition("idle")
                definition.workingDirectory = bench.directory
                definition.interfaces = [
                    VirtualNetworkInterface(.user(forwards: []), macAddress: try MACAddress("de:ad:be:ef:de:ad"))
                ]
                definition.deviceOptions = [
                    "-device", "virtio-blk-pci,drive=disk0",
                    "-drive", "if=none,id=disk0,file=disk.img,format=raw",
                    "-netdev", "user,id=net0",
                    "-device", "virtio-net-pci,netdev=net0,mac=?",
                ]
                try await bench.start(definition, until: "READY")
                let serial = bench.serial(definition)
                for expected in ["holds frommanifest", "interface eth0 de:ad:be:ef:de:ad"] {
                    try require(serial.contains(expected), "the guest does not find '\(expected)': \(serial)")
                }
                try require(!serial.contains("eth1") && !serial.contains("vdb"), "there are more devices: \(serial)")
            },
        ]
    }

    /// Has an operator say something at a monitor's prompt, and hears the answer, until the next prompt or the end.
    private static func say(_ text: String, to socket: FilePath) async throws -> String {
        try await DedicatedThread.run(name: "monitor-client") { () throws(Errno) in
            let client = try SocketClient(path: socket)
            let prompt = "(qemu) "
            _ = client.hear(until: prompt)
            client.say(text)
            return client.hear(until: prompt)
        }
    }
}
