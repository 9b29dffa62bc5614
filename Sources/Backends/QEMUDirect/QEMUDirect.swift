import BuildOSKit

/// Runs virtual machines as QEMU processes of its own, spoken to by QMP; no service is in between.
public struct QEMUDirect: VirtualMachines {
    public let backendName = QEMUDirectProvider.name
    public let capabilities: VirtualMachineCapabilities

    private let program: String?

    /// Creates a backend.
    ///
    /// - Parameter program: the path of a QEMU for x86-64; `qemu-system-x86_64` of the search path if `nil`.
    public init(program: String? = nil) {
        self.program = program
        capabilities = Self.capabilities(memoryLimit: MemoryCgroup.base != nil)
    }

    /// - Parameter memoryLimit: whether there are control groups that can be made use of.
    static func capabilities(memoryLimit: Bool) -> VirtualMachineCapabilities {
        VirtualMachineCapabilities(
            boards: VirtualMachineBoard.allCases,
            memorySnapshots: true,
            memoryLimit: memoryLimit,
            deviceOptions: true,
            remote: false
        )
    }

    public func start(
        _ definition: VirtualMachineDefinition,
        restoring memory: FilePath?
    ) async throws(VirtualMachineError) -> any VirtualMachine {
        guard let program = QEMUProgram.find(program) else {
            throw VirtualMachineError(
                .cannotStart,
                machine: definition.name.description,
                detail: "there is no program \(program ?? QEMUProgram.name)",
                remedy: QEMUProgram.remedy
            )
        }
        return RunningMachine(
            try await MachineStart(definition, program: program, memory: memory).run(),
            isFound: false
        )
    }

    public func find(
        _ name: VirtualMachineName,
        runtimeDirectory: FilePath
    ) async throws(VirtualMachineError) -> (any VirtualMachine)? {
        guard let session = try await MachineSearch(name, in: RunDirectory(runtimeDirectory)).run() else { return nil }
        return RunningMachine(session, isFound: true)
    }
}

/// Makes ``QEMUDirect`` backends.
public struct QEMUDirectProvider: VirtualMachineProvider {
    static let name = "qemu"

    /// Creates the provider.
    public init() {}

    public var identity: BackendIdentity {
        BackendIdentity(name: Self.name, interface: .virtualMachines, summary: "QEMU processes, spoken to by QMP")
    }

    /// What it can do where control groups can be made; an instance says what it can here.
    public var capabilities: VirtualMachineCapabilities { QEMUDirect.capabilities(memoryLimit: true) }

    public func preflight() async -> [PreflightFinding] {
        guard QEMUProgram.find(nil) == nil else { return [] }
        return [PreflightFinding(problem: "no program \(QEMUProgram.name)", remedy: QEMUProgram.remedy)]
    }

    public func makeVirtualMachines(_ options: VirtualMachineOptions) throws -> any VirtualMachines {
        QEMUDirect(program: options.connection)
    }
}
