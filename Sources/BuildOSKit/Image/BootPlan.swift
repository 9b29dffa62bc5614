/// How an image is booted in QEMU on this machine, for trial (BOOT-6, BOOT-7): a value, rendered to QEMU's arguments.
public struct BootPlan: Sendable, Hashable {
    /// What the firmware does.
    public enum Method: Sendable, Hashable {
        /// QEMU loads kernel and initrd itself.
        case direct(ImageFiles)
        /// The network card's firmware loads PXELINUX from a directory that QEMU's user network serves by TFTP.
        case pxe(tftpDirectory: FilePath)
    }

    /// A disk image attached as a virtio disk.
    public struct Disk: Sendable, Hashable {
        /// The file or device.
        public let path: FilePath
        /// How it is written.
        public let format: Format

        /// The formats taken.
        public enum Format: String, Sendable, Hashable {
            case raw, qcow2
        }

        /// A disk image; a name that ends in `.qcow2` is of that format, any other is raw.
        public init(_ path: FilePath) {
            self.path = path
            format = path.extension == "qcow2" ? .qcow2 : .raw
        }
    }

    /// What the firmware does.
    public var method: Method
    /// The kernel command line, passed on as it is.
    public var append: String
    /// Disks, in the order in which the guest sees them.
    public var disks: [Disk]
    /// MiB of RAM.
    public var memory: Int
    /// CPUs; `nil` for 2 with KVM and 1 without, where QEMU can hang a host of more that runs virtual machines of its own.
    public var cpus: Int?
    /// The port of this machine's loopback that leads to the guest's SSH server.
    public var sshPort: UInt16?
    /// Whether the CPU's virtualization is used; else QEMU's own translator.
    public var usesKVM: Bool

    /// Creates a plan.
    public init(
        method: Method,
        append: String = "",
        disks: [Disk] = [],
        memory: Int = 4096,
        cpus: Int? = nil,
        sshPort: UInt16? = nil,
        usesKVM: Bool = false
    ) {
        self.method = method
        self.append = append
        self.disks = disks
        self.memory = memory
        self.cpus = cpus
        self.sshPort = sshPort
        self.usesKVM = usesKVM
    }

    /// The kernel command line of a trial: the console is the serial line, and the operator's own words come last,
    /// so that they win.
    public var commandLine: String { append.isEmpty ? "console=ttyS0" : "console=ttyS0 \(append)" }

    /// The QEMU command. The console is on the terminal; Ctrl-C ends QEMU.
    public var command: Command {
        var arguments = ["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"]
        arguments += usesKVM ? ["-accel", "kvm", "-cpu", "host"] : ["-accel", "tcg,thread=multi", "-cpu", "max"]
        arguments += ["-smp", String(cpus ?? (usesKVM ? 2 : 1)), "-m", String(memory)]
        arguments += ["-chardev", "stdio,id=console,signal=on", "-serial", "chardev:console"]
        arguments += ["-device", "virtio-rng-pci"]

        var network = "user,id=net0"
        if let sshPort { network += ",hostfwd=tcp:127.0.0.1:\(sshPort)-:22" }
        var card = "virtio-net-pci,netdev=net0"
        switch method {
        case .direct(let image):
            arguments += ["-kernel", image.kernel.string, "-initrd", image.initrd.string, "-append", commandLine]
            card += ",romfile="
        case .pxe(let directory):
            network += ",tftp=\(Self.escaped(directory.string)),bootfile=\(PXEConfiguration.bootFile)"
            arguments += ["-boot", "n"]
            card += ",bootindex=1"
        }
        arguments += ["-netdev", network, "-device", card]

        for (index, disk) in disks.enumerated() {
            arguments += [
                "-drive",
                "if=none,id=disk\(index),format=\(disk.format.rawValue),file=\(Self.escaped(disk.path.string))",
                "-device", "virtio-blk-pci,drive=disk\(index)",
            ]
        }
        return Command("qemu-system-x86_64", arguments)
    }

    /// Whether a machine's CPU can run guests itself, by its flags in `/proc/cpuinfo`. (A `/dev/kvm` alone proves
    /// nothing: where it is emulated by a hypervisor without these flags, guests hang.)
    public static func canUseKVM(cpuinfo: String) -> Bool {
        for line in cpuinfo.split(separator: "\n") where line.hasPrefix("flags") {
            let words = line.split(whereSeparator: \.isWhitespace)
            return words.contains("svm") || words.contains("vmx")
        }
        return false
    }

    /// A comma ends an option's value in QEMU's arguments unless it is doubled.
    static func escaped(_ value: String) -> String {
        var text = ""
        for character in value { text += character == "," ? ",," : String(character) }
        return text
    }
}

/// What PXELINUX loads, and its configuration (manual, 3.2).
public enum PXEConfiguration {
    /// The network bootstrap program.
    public static let bootFile = "pxelinux.0"
    /// The configuration that every host takes that has none of its own.
    public static let defaultPath = "pxelinux.cfg/default"

    /// Where Debian's packages `pxelinux` and `syslinux-common` have the programs a boot needs.
    public static let programs: [FilePath] = [
        "/usr/lib/PXELINUX/pxelinux.0", "/usr/lib/syslinux/modules/bios/ldlinux.c32",
    ]

    /// PXELINUX cuts the line at this many bytes, and so does the kernel: 2,048 with the end mark.
    public static let commandLineLimit = 2047

    /// The text of a configuration that boots the image in the server's top directory at once.
    ///
    /// - Throws: ``PXEConfigurationError``
    public static func text(commandLine: String) throws(PXEConfigurationError) -> String {
        if commandLine.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) {
            throw PXEConfigurationError(.controlCharacter)
        }
        // PXELINUX adds `initrd=<name> ` to what the kernel is given.
        let length = "initrd=\(ImageFiles.initrdName) ".utf8.count + commandLine.utf8.count
        guard length <= commandLineLimit else { throw PXEConfigurationError(.tooLong(length)) }
        return """
            serial 0 115200
            default buildos
            prompt 0

            label buildos
              kernel \(ImageFiles.kernelName)
              initrd \(ImageFiles.initrdName)
              append \(commandLine)

            """
    }
}

/// Why a kernel command line can't be put into a PXELINUX configuration.
public struct PXEConfigurationError: DiagnosableError, Hashable {
    /// What is wrong with it.
    public enum Problem: Sendable, Hashable {
        case controlCharacter
        /// Its length in bytes, with what PXELINUX adds.
        case tooLong(Int)
    }

    /// What is wrong with it.
    public let problem: Problem

    /// Creates an error.
    public init(_ problem: Problem) { self.problem = problem }

    public var subject: String { "kernel command line" }
    public var cause: String {
        switch problem {
        case .controlCharacter: "it holds a line break or another control character"
        case .tooLong(let length):
            "\(length) bytes, and the kernel cuts it off after \(PXEConfiguration.commandLineLimit)"
        }
    }
    public var remedy: String? {
        switch problem {
        case .controlCharacter: "put all parameters on one line"
        case .tooLong: "leave parameters out"
        }
    }
}
