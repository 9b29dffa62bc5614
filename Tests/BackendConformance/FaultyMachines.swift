import BuildOSKit
import QEMUDirect

/// Virtual machines with faults; without any, sound ones.
struct FaultyMachines: VirtualMachines {
    typealias Operation = @Sendable (any VirtualMachine) async throws -> Void

    /// What becomes of a definition.
    var change: @Sendable (inout VirtualMachineDefinition) -> Void = { _ in }
    var forgetsMemory = false
    var find: @Sendable ((any VirtualMachine)?) -> (any VirtualMachine)? = { $0 }
    var pause: Operation = { try await $0.pause() }
    var reset: Operation = { try await $0.reset() }
    var powerDown: Operation = { try await $0.powerDown() }
    var kill: Operation = { try await $0.kill() }
    var saveMemory: @Sendable (any VirtualMachine, FilePath) async throws -> Void = {
        try await $0.saveMemory(to: $1)
    }
    /// What is told of a state, an end, an error.
    var state: @Sendable (VirtualMachineState) -> VirtualMachineState = { $0 }
    var exit: @Sendable (VirtualMachineExit) -> VirtualMachineExit = { $0 }
    var kind: @Sendable (VirtualMachineError.Kind) -> VirtualMachineError.Kind = { $0 }
    /// Called when a machine has ended, or did not start.
    var ended: @Sendable (VirtualMachineDefinition) -> Void = { _ in }
    var failed: @Sendable (VirtualMachineDefinition) -> Void = { _ in }

    private let sound = QEMUDirect()

    var backendName: String { "broken" }
    var capabilities: VirtualMachineCapabilities { sound.capabilities }

    func start(
        _ definition: VirtualMachineDefinition,
        restoring memory: FilePath?
    ) async throws(VirtualMachineError) -> any VirtualMachine {
        var changed = definition
        change(&changed)
        do throws(VirtualMachineError) {
            let machine = try await sound.start(changed, restoring: forgetsMemory ? nil : memory)
            return FaultyMachine(sound: machine, faults: self, definition: changed)
        } catch {
            failed(definition)
            throw VirtualMachineError(kind(error.kind), machine: error.machine, detail: error.detail)
        }
    }

    func find(
        _ name: VirtualMachineName,
        runtimeDirectory: FilePath
    ) async throws(VirtualMachineError) -> (any VirtualMachine)? {
        find(try await sound.find(name, runtimeDirectory: runtimeDirectory))
    }
}

/// A machine with the faults of its backend.
private struct FaultyMachine: VirtualMachine {
    let sound: any VirtualMachine
    let faults: FaultyMachines
    let definition: VirtualMachineDefinition

    var name: VirtualMachineName { sound.name }
    var processID: Int32? { sound.processID }

    func state() async throws(VirtualMachineError) -> VirtualMachineState { faults.state(try await sound.state()) }
    func pause() async throws(VirtualMachineError) { try await carryOut { try await faults.pause(sound) } }
    func resume() async throws(VirtualMachineError) { try await sound.resume() }
    func reset() async throws(VirtualMachineError) { try await carryOut { try await faults.reset(sound) } }
    func powerDown() async throws(VirtualMachineError) { try await carryOut { try await faults.powerDown(sound) } }
    func kill() async throws(VirtualMachineError) { try await carryOut { try await faults.kill(sound) } }

    func waitUntilEnded() async throws(VirtualMachineError) -> VirtualMachineExit {
        let exit = try await sound.waitUntilEnded()
        faults.ended(definition)
        return faults.exit(exit)
    }

    func saveMemory(to file: FilePath) async throws(VirtualMachineError) {
        try await carryOut { try await faults.saveMemory(sound, file) }
    }

    private func carryOut(_ operation: () async throws -> Void) async throws(VirtualMachineError) {
        do { try await operation() } catch let error as VirtualMachineError { throw error } catch {
            throw VirtualMachineError(.refused, machine: name.description, detail: "\(error)")
        }
    }
}
