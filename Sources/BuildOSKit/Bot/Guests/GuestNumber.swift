/// Which guest of which instance of which toolchain's agent: what its names and ports are made from (build2-facts, 3).
public struct GuestNumber: Sendable, Hashable {
    /// The toolchain.
    public let toolchain: ToolchainName
    /// The toolchain's number on this host, from 1 to 9.
    public let toolchainNumber: Int
    /// The instance, from 1 to 99.
    public let instance: Int
    /// 0 for the instance's build machine, from 1 to 9 for an auxiliary machine of its.
    public let auxiliary: Int

    /// Creates the number of an instance's build machine; `nil` if the toolchain's number or the instance is out of range.
    public init?(_ toolchain: ToolchainName, number: Int, instance: Int) {
        guard (1...9).contains(number), (1...99).contains(instance) else { return nil }
        self.init(toolchain, number, instance, auxiliary: 0)
    }

    private init?(_ toolchain: ToolchainName, _ number: Int, _ instance: Int, auxiliary: Int) {
        let suffix = auxiliary == 0 ? "" : "-\(auxiliary)"
        guard let machine = VirtualMachineName("\(toolchain)-\(instance)\(suffix)") else { return nil }
        virtualMachine = machine
        self.toolchain = toolchain
        toolchainNumber = number
        self.instance = instance
        self.auxiliary = auxiliary
    }

    /// How many auxiliary machines a task can have.
    public static let maximumAuxiliaries = 9

    /// The numbers of the auxiliary machines of the same instance, in order.
    public var auxiliaries: [GuestNumber] {
        (1...Self.maximumAuxiliaries).compactMap { GuestNumber(toolchain, toolchainNumber, instance, auxiliary: $0) }
    }

    /// From 1 to 899; no two instances on a host have the same.
    public var offset: Int { (toolchainNumber - 1) * 100 + instance }
    /// The port of the guest's screen on 127.0.0.1 (MACH-7).
    public var displayPort: Int { 5900 + place }
    /// The port of the guest's TFTP server, which it sees as 69.
    public var tftpPort: Int { Self.tftpPorts.lowerBound + place }
    /// The ports of all TFTP servers of a host's agents.
    public static let tftpPorts = 23400...32399
    /// Where a guest's ports are among those of all guests of a host: auxiliary machines come after all build machines.
    private var place: Int { 900 * auxiliary + offset }
    /// The tap device of the guest.
    public var tap: String { auxiliary == 0 ? "tap\(offset)" : "tap\(offset)-\(auxiliary)" }
    /// The UNIX socket of the guest's human monitor (MACH-7).
    public var monitorSocket: FilePath { FilePath("/tmp/monitor-\(name)") }
    /// The UNIX socket of the guest's serial port.
    public var serialSocket: FilePath { FilePath("/tmp/serial-\(name)") }
    /// `<toolchain>-<instance>`, by which an operator names the instance and its build machine; `-<k>` more for an auxiliary
    /// machine.
    public var name: String { virtualMachine.description }
    /// The name under which the hypervisor knows the guest.
    public let virtualMachine: VirtualMachineName
    /// What the suffixes of this instance's temporary snapshots begin with: by it, an instance finds its own again.
    public var snapshotPrefix: String { "\(instance)_" }
}
