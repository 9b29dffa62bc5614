import BuildOSKit
import Glibc
import Synchronization
import TestSupport
import Testing

/// What a virtual build host is made of.
struct HostShape: Sendable {
    enum Firmware: Sendable {
        /// By PXE from the lab's network; the host is at this address there.
        case pxe(mac: String, address: String)
        /// QEMU loads kernel and initrd itself; the host is at this address in the lab's network.
        case local(mac: String, address: String, append: [String])
        /// `buildosctl image boot`, which hands the image to QEMU itself; SSH is on this port of the loopback.
        case direct(sshPort: UInt16, append: [String])
    }

    /// Names its logs.
    var name: String
    /// Under which its host key is known, so that another boot of the same host has to show the same.
    var identity: String
    var firmware: Firmware
    var cpus = 2
    /// MiB.
    var memory = 3072
    var disks: [Disk]

    var address: String {
        switch firmware {
        case .pxe(_, let address), .local(_, let address, _): address
        case .direct: "127.0.0.1"
        }
    }
}

/// A build host in QEMU, on the lab's network, from power-on to power-off.
///
/// A reboot ends it: QEMU runs with `-no-reboot`, so that the lab can change what the next boot finds.
final class VirtualHost: Sendable {
    /// The one that the running test is about.
    @TaskLocal static var running: VirtualHost?

    static var current: VirtualHost {
        get throws { try #require(running, "no host: the test is outside of a suite that boots one") }
    }

    let shape: HostShape
    let lab: Lab
    let serial: SerialLog
    private let end = Mutex<Result<CommandResult, any Error>?>(nil)

    private init(_ shape: HostShape, in lab: Lab) {
        self.shape = shape
        self.lab = lab
        serial = SerialLog(path: lab.logs.appending("\(shape.name).serial.log"))
    }

    /// Boots a host by PXE and runs a closure with it; the power goes off at the end.
    static func withHost(_ shape: HostShape, in lab: Lab, _ body: (VirtualHost) async throws -> Void) async throws {
        let host = VirtualHost(shape, in: lab)
        let command = try await host.powerOn()
        let log = lab.logs.appending("\(shape.name).qemu.log")
        let machine = Task {
            let result: Result<CommandResult, any Error>
            do {
                result = .success(
                    try await lab.transport.run(
                        command,
                        input: .none,
                        output: .appended(to: shape.isDirect ? host.serial.path : log),
                        error: .appended(to: log),
                        timeLimit: .seconds(900)
                    )
                )
            } catch {
                result = .failure(error)
            }
            host.end.withLock { $0 = result }
        }
        let outcome: Result<Void, any Error>
        do {
            outcome = .success(try await $running.withValue(host) { try await host.withLogin { try await body(host) } })
        } catch {
            outcome = .failure(error)
        }
        machine.cancel()
        await machine.value
        try outcome.get()
    }

    /// The command that runs the host.
    private func powerOn() async throws -> Command {
        switch shape.firmware {
        case .pxe(let mac, _):
            try await lab.makeTap()
            return lab.inside("qemu-system-x86_64", qemuArguments(mac: mac) + ["-boot", "n"])
        case .local(let mac, _, let append):
            try await lab.makeTap()
            let image = StagedTree.root.appending("image")
            return lab.inside(
                "qemu-system-x86_64",
                qemuArguments(mac: mac) + [
                    "-kernel", "\(image)/buildos-image", "-initrd", "\(image)/buildos-initrd",
                    "-append", append.joined(separator: " "),
                ]
            )
        case .direct(let sshPort, let append):
            return Command(
                StagedTree.program("buildosctl").string,
                [
                    "image", "boot", "--image", StagedTree.root.appending("image").string,
                    "--memory", "\(shape.memory)", "--cpus", "\(shape.cpus)", "--ssh-port", "\(sshPort)",
                    "--append", append.joined(separator: " "),
                ] + zip(["--state", "--machines"], shape.disks).flatMap { [$0, $1.file.string] }
            )
        }
    }

    private func qemuArguments(mac: String) -> [String] {
        var arguments = [
            "-name", shape.name, "-accel", "tcg,thread=multi", "-cpu", "max",
            "-smp", "\(shape.cpus)", "-m", "\(shape.memory)",
            "-display", "none", "-no-reboot",
            "-netdev", "tap,id=net0,ifname=\(Lab.tap),script=no,downscript=no",
            "-device", "e1000,netdev=net0,mac=\(mac)",
            "-device", "virtio-rng-pci",
            "-chardev",
            "socket,id=serial0,path=\(console),server=on,wait=off,logfile=\(serial.path),logappend=off",
            "-serial", "chardev:serial0",
            "-monitor", "unix:\(monitor),server=on,wait=off",
        ]
        for disk in shape.disks {
            let mode = disk.isReadOnly ? ",readonly=on" : ""
            arguments += ["-drive", "file=\(disk.file),format=raw,if=virtio,cache=\(disk.cache)\(mode)"]
        }
        return arguments
    }

    /// The serial console's socket.
    var console: FilePath { lab.directory.appending("\(shape.name).console") }
    /// The socket of QEMU's monitor.
    var monitor: FilePath { lab.directory.appending("\(shape.name).monitor") }

    /// Whether QEMU has ended: the host rebooted or powered down, or QEMU failed.
    var isOff: Bool { end.withLock { $0 != nil } }

    /// Types on the serial console. The connection stays for a moment: the guest's serial port takes only a few bytes at
    /// a time, and what it hasn't taken when the connection ends is lost.
    func type(_ text: String) async throws {
        try await lab.transport.check(
            // QEMU forgets what the guest's serial port has not taken yet when the connection ends.
            Command("socat", ["-t", "5", "STDIO", "UNIX-CONNECT:\(console),shut-none"]),
            input: .bytes(Array(text.utf8)),
            timeLimit: .seconds(30)
        )
    }

    /// Waits until something is on the serial console.
    func serialShows(_ text: String, within limit: Duration) async throws {
        try await eventually("'\(text)' on the console of \(shape.name): see \(serial.path)", within: limit) {
            if try serial.contains(text) { return true }
            try failIfDead("'\(text)' was on its console")
            return false
        }
    }

    /// Waits until the host has rebooted.
    func reboots(within limit: Duration) async throws {
        try await eventually("the reboot of \(shape.name): see \(serial.path)", within: limit) { isOff }
        let result = try #require(end.withLock { $0 }).get()
        guard result.status.isSuccess else { throw LabError("QEMU of \(shape.name) ended with \(result.status)") }
    }

    func failIfDead(_ before: String) throws {
        if isOff { throw LabError("\(shape.name) went off before \(before): see \(serial.path)") }
        if try serial.contains("Kernel panic") { throw LabError("\(shape.name): kernel panic: see \(serial.path)") }
    }
}

extension HostShape {
    fileprivate var isDirect: Bool { if case .direct = firmware { true } else { false } }
}

extension Lab {
    static let tap = "tap0"

    func makeTap() async throws {
        let links = try await check("ip", ["-o", "link"])
        if links.contains(" \(Self.tap):") { return }
        try await check("ip", ["tuntap", "add", Self.tap, "mode", "tap"])
        try await check("ip", ["link", "set", Self.tap, "master", "lab0"])
        try await check("ip", ["link", "set", Self.tap, "up"])
    }

    /// Puts the image and the boot loader where DHCP sends the hosts.
    func publishImage() throws {
        let image = StagedTree.root.appending("image")
        try FileTree.makeDirectory(tftp.appending("buildos"))
        try FileTree.makeDirectory(tftp.appending("pxelinux.cfg"))
        for name in ["buildos-image", "buildos-initrd"] {
            try link(image.appending(name), at: tftp.appending("buildos").appending(name))
        }
        try link("/usr/lib/PXELINUX/pxelinux.0", at: tftp.appending("pxelinux.0"))
        try link("/usr/lib/syslinux/modules/bios/ldlinux.c32", at: tftp.appending("ldlinux.c32"))
        try publishBuildID(try FileTree.readText(image.appending("buildos-buildid")))
    }

    func publishBuildID(_ text: String) throws {
        try FileTree.write(text, to: tftp.appending("buildos/buildos-buildid"))
    }

    /// Writes a PXE configuration as the manual has it: for one host, or `default` for all.
    func configurePXE(for mac: String?, append: [String]) throws {
        let name = mac.map { "01-" + $0.map { $0 == ":" ? "-" : String($0) }.joined() } ?? "default"
        let line = append.joined(separator: " ")
        guard line.utf8.count < 2048 else {
            throw LabError("the kernel cuts a command line of \(line.utf8.count) bytes")
        }
        try FileTree.write(
            """
            default buildos
            prompt 0

            label buildos
              menu label Build OS
              kernel /buildos/buildos-image
              initrd /buildos/buildos-initrd
              append \(line)

            """,
            to: tftp.appending("pxelinux.cfg").appending(name)
        )
    }

    private func link(_ target: FilePath, at path: FilePath) throws {
        guard FileTree.exists(target) else { throw LabError("\(target) isn't there: run 'make image'") }
        guard symlink(target.string, path.string) == 0 else { throw Errno(rawValue: errno) }
    }
}
