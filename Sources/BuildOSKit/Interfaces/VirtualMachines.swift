/// What a virtual machine is doing.
public enum VirtualMachineState: Sendable, Hashable {
    /// Its CPUs run.
    case running
    /// Its CPUs stand still, by ``VirtualMachine/pause()`` or because the hypervisor stopped them, with the reason.
    case paused(reason: String?)
    /// The guest's kernel panicked and told so (pvpanic); it stands still until it is killed.
    case panicked
    /// It is gone, and how it went.
    case ended(VirtualMachineExit)
}

/// How a virtual machine ended.
public enum VirtualMachineExit: Sendable, Hashable, CustomStringConvertible {
    /// The guest switched itself off, asked to or not.
    case guestShutdown
    /// The guest reset itself, in a machine that ends on that.
    case guestReset
    /// It was killed, by ``VirtualMachine/kill()`` or by its time limit.
    case killed
    /// The hypervisor died or gave up, with its last words.
    case crashed(String)

    public var description: String {
        switch self {
        case .guestShutdown: "shut down by the guest"
        case .guestReset: "reset by the guest"
        case .killed: "killed"
        case .crashed(let words): "the hypervisor ended: \(words)"
        }
    }
}

/// Why something could not be done with a virtual machine.
public struct VirtualMachineError: DiagnosableError, Hashable {
    /// The kinds of failure that policy tells apart.
    public enum Kind: String, Sendable, Hashable, Codable {
        /// The definition asks for what can't be.
        case invalidDefinition
        /// There is a running machine of that name.
        case alreadyRunning
        /// A disk, kernel, tap device or the like is not there.
        case missingResource
        /// The hypervisor would not start, with its words.
        case cannotStart
        /// No such machine runs, or no longer.
        case notRunning
        /// The hypervisor, or the service in front of it, can't be reached: may pass.
        case unreachable
        /// The hypervisor refused the operation, with its words.
        case refused
        /// It did not answer, or not end, in time.
        case timedOut
        /// The saved memory is of another machine, or another hypervisor.
        case badSnapshot
        /// The task was cancelled.
        case cancelled
        /// This backend can't do that; see ``VirtualMachines/capabilities``.
        case unsupported
    }

    /// What kind of failure it is.
    public let kind: Kind
    /// The machine's name.
    public let machine: String
    /// Why, in the hypervisor's words where it has any.
    public let detail: String
    public let remedy: String?

    /// Creates an error.
    public init(_ kind: Kind, machine: String, detail: String, remedy: String? = nil) {
        self.kind = kind
        self.machine = machine
        self.detail = detail
        self.remedy = remedy
    }

    /// The error of an operation that a backend does not offer.
    public static func unsupported(_ operation: String, _ machine: VirtualMachineName, backend: String) -> Self {
        Self(
            .unsupported,
            machine: machine.description,
            detail: UnsupportedOperation(operation, backend: backend).description
        )
    }

    public var subject: String { "virtual machine '\(machine)'" }
    public var cause: String { detail }
}

/// What a virtual machine backend can do.
public struct VirtualMachineCapabilities: CapabilitySet {
    /// Boards it knows.
    public let boards: [VirtualMachineBoard]
    /// Whether it keeps memory in a file and starts from it.
    public let memorySnapshots: Bool
    /// Whether it limits the memory that a machine uses on the host.
    public let memoryLimit: Bool
    /// Whether it runs on options of a machine's manifest.
    public let deviceOptions: Bool
    /// Whether machines may run on another host.
    public let remote: Bool

    /// Creates capabilities.
    public init(
        boards: [VirtualMachineBoard],
        memorySnapshots: Bool,
        memoryLimit: Bool,
        deviceOptions: Bool,
        remote: Bool
    ) {
        self.boards = boards
        self.memorySnapshots = memorySnapshots
        self.memoryLimit = memoryLimit
        self.deviceOptions = deviceOptions
        self.remote = remote
    }

    public var listing: [Capability] {
        [
            Capability("boards", boards.map(\.rawValue)), Capability("memory-snapshots", memorySnapshots),
            Capability("memory-limit", memoryLimit), Capability("device-options", deviceOptions),
            Capability("remote", remote),
        ]
    }
}

/// Starts virtual machines, and finds those that run (BOT-2, BACK-1).
public protocol VirtualMachines: BackendInstance {
    /// What it can do.
    var capabilities: VirtualMachineCapabilities { get }

    /// Starts a machine. If any step fails, nothing is left of it: no process, no socket, no cgroup.
    ///
    /// - Parameter memory: what ``VirtualMachine/saveMemory(to:)`` of a machine with the same definition but for paths,
    ///   ports and the like wrote. The machine goes on where that one stood, running.
    /// - Returns: when its CPUs run, or stand if the definition wants that.
    /// - Throws: ``VirtualMachineError``
    func start(
        _ definition: VirtualMachineDefinition,
        restoring memory: FilePath?
    ) async throws(VirtualMachineError) -> any VirtualMachine

    /// A machine that runs, whoever started it: for cleaning up after a crash of the program that did.
    ///
    /// - Parameter runtimeDirectory: as in its definition.
    /// - Returns: `nil` if none of that name runs. What a dead one left in its directory is removed.
    /// - Throws: ``VirtualMachineError``
    func find(
        _ name: VirtualMachineName,
        runtimeDirectory: FilePath
    ) async throws(VirtualMachineError) -> (any VirtualMachine)?
}

extension VirtualMachines {
    /// Starts a machine from its boot device.
    public func start(_ definition: VirtualMachineDefinition) async throws(VirtualMachineError) -> any VirtualMachine {
        try await start(definition, restoring: nil)
    }
}

/// A virtual machine that was started. It runs on when nobody refers to it any more: its end is somebody's decision.
public protocol VirtualMachine: Sendable {
    /// Its name.
    var name: VirtualMachineName { get }
    /// The hypervisor's process on this machine, where there is one.
    var processID: Int32? { get }

    /// What it is doing.
    func state() async throws(VirtualMachineError) -> VirtualMachineState

    /// Stops its CPUs; no error if they stand already.
    func pause() async throws(VirtualMachineError)

    /// Lets its CPUs run on; no error if they run.
    func resume() async throws(VirtualMachineError)

    /// Presses the reset button.
    func reset() async throws(VirtualMachineError)

    /// Presses the power button. Whether the guest heeds it is its affair: wait with ``waitUntilEnded()``.
    func powerDown() async throws(VirtualMachineError)

    /// Ends it, whatever it does. Returns when it is gone with all that belonged to it; no error if it is gone.
    func kill() async throws(VirtualMachineError)

    /// Returns when it has ended and nothing is left of it. Cancelling the task ends the wait, not the machine.
    ///
    /// - Throws: ``VirtualMachineError`` of kind `cancelled` or `unreachable`.
    func waitUntilEnded() async throws(VirtualMachineError) -> VirtualMachineExit

    /// Keeps the memory and devices of a paused machine in a file, which appears whole or not at all. Disks are the
    /// caller's: they must be kept as they are now.
    func saveMemory(to file: FilePath) async throws(VirtualMachineError)
}

/// What makes a backend of virtual machines.
public struct VirtualMachineOptions: Sendable, Hashable {
    /// The hypervisor's address, by the backend's own syntax: libvirt's connection URI, the path of a QEMU program.
    /// The backend's default if `nil`.
    public var connection: String?

    /// Creates options.
    public init(connection: String? = nil) { self.connection = connection }
}

/// Makes backends of virtual machines.
public protocol VirtualMachineProvider: BackendProvider {
    /// What they can do.
    var capabilities: VirtualMachineCapabilities { get }
    /// Makes one. A connection is made when it is first needed.
    func makeVirtualMachines(_ options: VirtualMachineOptions) throws -> any VirtualMachines
}

extension VirtualMachineProvider {
    public var capabilityListing: [Capability] { capabilities.listing }
    /// Makes one with the default options.
    public func makeVirtualMachines() throws -> any VirtualMachines { try makeVirtualMachines(VirtualMachineOptions()) }
}
