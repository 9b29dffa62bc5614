/// One run of a guest: what it starts from, what it may fetch, what is waited for.
public struct GuestOrder: Sendable {
    /// Whose guest it is.
    public var number: GuestNumber
    /// The bridge its tap device is on.
    public var bridge: String
    /// The virtual machine. Its interfaces' connections, display and sockets are set by the runner, from ``number``.
    public var definition: VirtualMachineDefinition
    /// The address of its network interface.
    public var macAddress: MACAddress
    /// Where a guest of this very kind stands in memory, waiting for its first request to be answered.
    public var memory: FilePath?
    /// What it can read.
    public var readRoot: FilePath
    /// The names it can read; `nil` for all under ``readRoot``.
    public var readableNames: Set<String>?
    /// What it can write.
    public var uploads: UploadRules
    /// The names of files of which one must be written for the work to be done.
    public var awaited: Set<String>
    /// Time limits.
    public var limits: GuestLimits
    /// What becomes of it when it has delivered.
    public var ending: GuestEnding

    /// Creates an order.
    public init(
        number: GuestNumber,
        bridge: String,
        definition: VirtualMachineDefinition,
        macAddress: MACAddress,
        readRoot: FilePath,
        readableNames: Set<String>? = nil,
        uploads: UploadRules,
        awaited: Set<String>,
        limits: GuestLimits,
        ending: GuestEnding
    ) {
        self.number = number
        self.bridge = bridge
        self.definition = definition
        self.macAddress = macAddress
        self.readRoot = readRoot
        self.readableNames = readableNames
        self.uploads = uploads
        self.awaited = awaited
        self.limits = limits
        self.ending = ending
        memory = nil
    }

    /// The virtual machine with the ends that it has on this host.
    var connectedDefinition: VirtualMachineDefinition {
        var definition = definition
        definition.interfaces = [VirtualNetworkInterface(.tap(number.tap), macAddress: macAddress)]
        definition.display = VirtualDisplay(host: definition.display?.host ?? "127.0.0.1", port: number.displayPort)
        definition.monitorSocket = number.monitorSocket
        definition.serialSocket = number.serialSocket
        definition.endsOnReset = true
        return definition
    }
}

/// How far a guest is, for those who look on.
public enum GuestProgress: Sendable, Hashable {
    /// Other guests must be at its disposal first.
    case waitingForAuxiliaries
    /// Its network and its virtual machine are being made.
    case preparing
    /// It runs and has not asked for anything.
    case starting
    /// It works.
    case working
    /// What was waited for has come.
    case closing
    /// What was waited for has come, and it goes on for the good of others.
    case serving
    /// It failed and is kept, suspended.
    case held(GuestOutcome)
}
