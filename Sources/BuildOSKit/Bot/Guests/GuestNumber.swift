/// Which instance of which toolchain's agent: what the names and ports of its guest are made from (build2-facts, 3).
public struct GuestNumber: Sendable, Hashable {
    /// The toolchain.
    public let toolchain: ToolchainName
    /// The toolchain's number on this host, from 1 to 9.
    public let toolchainNumber: Int
    /// The instance, from 1 to 99.
    public let instance: Int

    /// Creates a number; `nil` if the toolchain's number or the instance is out of range.
    public init?(_ toolchain: ToolchainName, number: Int, instance: Int) {
        guard (1...9).contains(number), (1...99).contains(instance),
            let machine = VirtualMachineName("\(toolchain)-\(instance)")
        else { return nil }
        virtualMachine = machine
        self.toolchain = toolchain
        toolchainNumber = number
        self.instance = instance
    }

    /// From 1 to 899; no two instances on a host have the same.
    public var offset: Int { (toolchainNumber - 1) * 100 + instance }
    /// The port of the guest's screen on 127.0.0.1 (MACH-7).
    public var displayPort: Int { 5900 + offset }
    /// The port of the instance's TFTP server, which its guest sees as 69.
    public var tftpPort: Int { Self.tftpPorts.lowerBound + offset }
    /// The ports of all TFTP servers of a host's agents.
    public static let tftpPorts = 23400...24299
    /// The tap device of the guest.
    public var tap: String { "tap\(offset)" }
    /// The UNIX socket of the guest's human monitor (MACH-7).
    public var monitorSocket: FilePath { FilePath("/tmp/monitor-\(toolchain)-\(instance)") }
    /// The UNIX socket of the guest's serial port.
    public var serialSocket: FilePath { FilePath("/tmp/serial-\(toolchain)-\(instance)") }
    /// `<toolchain>-<instance>`, by which an operator names the instance.
    public var name: String { "\(toolchain)-\(instance)" }
    /// The name under which the hypervisor knows the guest.
    public let virtualMachine: VirtualMachineName
    /// What the suffixes of this instance's temporary snapshots begin with: by it, an instance finds its own again.
    public var snapshotPrefix: String { "\(instance)_" }
}
