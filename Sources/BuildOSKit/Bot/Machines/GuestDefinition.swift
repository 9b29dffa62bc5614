/// What every guest of an instance gets of its host (RES-1 to RES-3).
public struct GuestResources: Sendable, Hashable {
    /// CPUs.
    public var cpus: Int
    /// RAM.
    public var memory: MemorySize
    /// CPUs of the host that it runs on; all if `nil`.
    public var affinity: CPUSet?
    /// Its nice value.
    public var nice: Int

    /// Creates resources.
    public init(cpus: Int, memory: MemorySize, affinity: CPUSet? = nil, nice: Int = 0) {
        self.cpus = cpus
        self.memory = memory
        self.affinity = affinity
        self.nice = nice
    }
}

/// Why a machine can't have what it needs (RES-4).
public struct MachineTooLarge: DiagnosableError, Hashable {
    /// The machine.
    public let machine: String
    /// What it needs.
    public let minimum: MemorySize
    /// What there is.
    public let slice: MemorySize
    /// Whether it is one that others make use of: those have RAM of their own.
    public var isAuxiliary = false

    public var subject: String { "machine '\(machine)'" }
    public var cause: String {
        "it needs at least \(minimum) of RAM, and an instance has \(slice)" + (isAuxiliary ? " left for it" : "")
    }
    public var remedy: String? {
        isAuxiliary
            ? "raise buildos.ram_auxiliary, which all instances share"
            : "lower buildos.instances or buildos.ram_reserved, or add RAM"
    }
}

/// KiB that a hypervisor may use beside its guest's memory. What it holds of files is taken from it before it fails.
private let hypervisorKiB = 512 << 10

extension MachineManifest {
    /// The virtual machine of this machine, with its disk in a directory.
    ///
    /// - Throws: ``MachineTooLarge``
    func definition(
        name: VirtualMachineName,
        in directory: FilePath,
        resources: GuestResources,
        runtimeDirectory: FilePath
    ) throws(MachineTooLarge) -> VirtualMachineDefinition {
        if let minimum = header.minimumRAM, resources.memory < minimum {
            throw MachineTooLarge(machine: header.name, minimum: minimum, slice: resources.memory)
        }
        var definition = VirtualMachineDefinition(
            name: name,
            memory: header.maximumRAM.map { min($0, resources.memory) } ?? resources.memory,
            cpus: resources.cpus,
            boot: .devices([.disk]),
            runtimeDirectory: runtimeDirectory
        )
        // What is written to this disk is thrown away, or synchronised as a whole once the guest has ended.
        definition.disks = [VirtualDisk(directory.appending("disk.img"), ignoresFlushes: true)]
        definition.workingDirectory = directory
        definition.deviceOptions = options
        definition.affinity = resources.affinity
        definition.nice = resources.nice
        definition.memoryLimit = MemorySize(kibibytes: definition.memory.kibibytes + hypervisorKiB)
        definition.hasGenerationID = true
        definition.serialLog = directory.appending(GuestExchange.directoryName).appending("console.log")
        return definition
    }
}
