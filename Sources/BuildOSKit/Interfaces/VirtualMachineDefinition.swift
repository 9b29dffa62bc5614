import Glibc

/// The name of a virtual machine: 1 to 64 letters, digits, `.`, `_` and `-`, the first a letter or a digit.
public struct VirtualMachineName: Sendable, Hashable, CustomStringConvertible {
    /// The name.
    public let description: String

    /// `nil` if the text is not such a name.
    public init?(_ text: String) {
        guard let first = text.utf8.first, first.isASCIILetterOrDigit, text.utf8.count <= 64,
            text.utf8.allSatisfy({ $0.isASCIILetterOrDigit || "._-".utf8.contains($0) })
        else { return nil }
        description = text
    }
}

/// What runs a virtual machine's instructions.
public enum VirtualMachineAcceleration: String, Sendable, Hashable, Codable, CaseIterable {
    /// KVM where it works on this machine, else TCG.
    case automatic
    /// The kernel's; an error where it doesn't work.
    case kvm
    /// QEMU's translator, everywhere.
    case tcg
}

/// The board of a virtual machine.
public enum VirtualMachineBoard: String, Sendable, Hashable, Codable, CaseIterable {
    /// PCI Express, of the year 2009.
    case q35
    /// PCI, of the year 1996.
    case pc
    /// No PCI, no firmware to speak of; boots a kernel only.
    case microvm
}

/// What a virtual machine starts from.
public enum VirtualMachineBoot: Sendable, Hashable {
    /// The devices named, in this order.
    case devices([BootDevice])
    /// A kernel of this machine's, given straight to it.
    case kernel(FilePath, initrd: FilePath?, commandLine: String)

    /// A kind of device to start from.
    public enum BootDevice: String, Sendable, Hashable, Codable { case disk, network }
}

/// A disk of a virtual machine, on virtio.
public struct VirtualDisk: Sendable, Hashable {
    /// How the file holds the disk.
    public enum Format: String, Sendable, Hashable, Codable { case raw, qcow2 }

    /// The file or block device.
    public var path: FilePath
    /// How it holds the disk. Never guessed: a guest could write the header of another format.
    public var format: Format
    /// Whether the guest can't write to it.
    public var isReadOnly: Bool
    /// Whether flushes of the guest are ignored: faster, for disks that a power cut may spoil.
    public var ignoresFlushes: Bool

    /// Creates a description of a disk.
    public init(_ path: FilePath, format: Format = .raw, isReadOnly: Bool = false, ignoresFlushes: Bool = false) {
        self.path = path
        self.format = format
        self.isReadOnly = isReadOnly
        self.ignoresFlushes = ignoresFlushes
    }
}

/// A network interface of a virtual machine, on virtio.
public struct VirtualNetworkInterface: Sendable, Hashable {
    /// What it is connected to.
    public enum Connection: Sendable, Hashable {
        /// A tap device that is there; making it, and joining it to a bridge, is the caller's.
        case tap(String)
        /// The hypervisor's own network in user space, with NAT, DHCP and forwarded ports; needs no privileges.
        case user(forwards: [PortForwarding])
    }

    /// A TCP port of 127.0.0.1 of this machine that leads to one of the guest's.
    public struct PortForwarding: Sendable, Hashable {
        /// The port here.
        public var hostPort: Int
        /// The port there.
        public var guestPort: Int

        /// Creates a forwarding.
        public init(hostPort: Int, guestPort: Int) {
            self.hostPort = hostPort
            self.guestPort = guestPort
        }
    }

    /// What it is connected to.
    public var connection: Connection
    /// Its address; the hypervisor chooses if `nil`.
    public var macAddress: MACAddress?

    /// Creates a description of an interface.
    public init(_ connection: Connection, macAddress: MACAddress? = nil) {
        self.connection = connection
        self.macAddress = macAddress
    }
}

/// Where a virtual machine's screen can be seen, by VNC (RFC 6143). Only ever on addresses of this machine's choosing.
public struct VirtualDisplay: Sendable, Hashable {
    /// A numeric address, 127.0.0.1 unless the build is interactive.
    public var host: String
    /// 5900 and up.
    public var port: Int

    /// Creates a description of a display.
    public init(host: String = "127.0.0.1", port: Int) {
        self.host = host
        self.port = port
    }
}

/// A virtual machine as it is to be: the same definition has the same behaviour with every backend.
public struct VirtualMachineDefinition: Sendable, Hashable {
    /// Its name, which no other running machine of the backend has.
    public var name: VirtualMachineName
    /// RAM of the guest.
    public var memory: MemorySize
    /// CPUs of the guest, at least one.
    public var cpus: Int
    /// The CPU model by the hypervisor's name; the host's own with KVM, the fullest that is emulated with TCG, if `nil`.
    public var cpuModel: String?
    /// What runs its instructions.
    public var acceleration: VirtualMachineAcceleration
    /// Its board.
    public var board: VirtualMachineBoard
    /// What it starts from.
    public var boot: VirtualMachineBoot
    /// Its disks, the first to boot from.
    public var disks: [VirtualDisk]
    /// Its network interfaces.
    public var interfaces: [VirtualNetworkInterface]
    /// Its screen; `nil` for none.
    public var display: VirtualDisplay?
    /// The file to which its first serial port is written, from the beginning; `nil` for nowhere.
    public var serialLog: FilePath?
    /// The UNIX socket of the human monitor (MACH-7), `/tmp/monitor-<toolchain>-<instance>` for a build; `nil` for none.
    public var monitorSocket: FilePath?
    /// The UNIX socket that leads to its first serial port, both ways, for one client at a time, with the access rights of
    /// ``monitorSocket``: `/tmp/serial-<toolchain>-<instance>` for a build; `nil` for none. ``serialLog`` is written all the same.
    public var serialSocket: FilePath?
    /// A directory for sockets and the like, of its own, which exists. What the backend puts there is gone in the end.
    public var runtimeDirectory: FilePath
    /// The directory that relative paths in ``deviceOptions`` are of.
    public var workingDirectory: FilePath?
    /// Options of a machine's manifest, one argument each. If given they replace what ``disks`` and ``interfaces`` become;
    /// `ifname=?` and `mac=?` in them stand for the first interface's (build2-facts, 3).
    public var deviceOptions: [String]?
    /// CPUs of the host that it may run on (RES-3); `nil` for all.
    public var affinity: CPUSet?
    /// Its nice value, -20 to 19 (sched(7)).
    public var nice: Int
    /// Memory that it may use on the host, hypervisor included, where the backend can limit that; `nil` for no limit.
    public var memoryLimit: MemorySize?
    /// Whether a reset asked for by the guest ends it.
    public var endsOnReset: Bool
    /// Whether its CPUs stand once it is started, until ``VirtualMachine/resume()``.
    public var startsPaused: Bool
    /// Whether the guest has a vmgenid device, which tells a restored one to re-seed its randomness.
    public var hasGenerationID: Bool

    /// Creates a definition with neither disks nor network.
    public init(
        name: VirtualMachineName,
        memory: MemorySize,
        cpus: Int,
        boot: VirtualMachineBoot,
        runtimeDirectory: FilePath
    ) {
        self.name = name
        self.memory = memory
        self.cpus = cpus
        self.boot = boot
        self.runtimeDirectory = runtimeDirectory
        cpuModel = nil
        acceleration = .automatic
        board = .q35
        disks = []
        interfaces = []
        display = nil
        serialLog = nil
        monitorSocket = nil
        serialSocket = nil
        workingDirectory = nil
        deviceOptions = nil
        affinity = nil
        nice = 0
        memoryLimit = nil
        endsOnReset = true
        startsPaused = false
        hasGenerationID = false
    }
}

extension VirtualMachineDefinition {
    /// The first of its tap devices that the network of this process lacks: another one than that in which `/sys` was
    /// mounted, perhaps.
    public var missingTap: String? {
        for case .tap(let name) in interfaces.map(\.connection) where if_nametoindex(name) == 0 { return name }
        return nil
    }
}
