/// A bootstrapped machine that an instance has to itself.
struct HeldMachine: Sendable {
    let machine: BuildMachine
    let made: BootstrappedManifest
    /// Given back when this goes.
    let lock: FileLock

    /// The name by which tasks ask for it.
    var name: String { made.machine.header.name }
    var role: MachineHeader.Role { made.machine.header.role }
}
