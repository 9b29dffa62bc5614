import BuildOSKit
import QEMUDirect
import Testing

/// A fake on purpose: QEMU's backend with one fault built in, which the suite must find.
struct BrokenMachines: CustomTestStringConvertible {
    /// What it does wrong.
    let fault: String
    /// Words of the name of the check that must fail.
    let caughtBy: String
    let backend: FaultyMachines

    var testDescription: String { fault }

    private init(_ fault: String, caughtBy: String, _ install: (inout FaultyMachines) -> Void) {
        self.fault = fault
        self.caughtBy = caughtBy
        var backend = FaultyMachines()
        install(&backend)
        self.backend = backend
    }

    static let all = definitions + operations + ends

    private static let definitions = [
        BrokenMachines("chooses the addresses itself", caughtBy: "disks and addresses of its definition") {
            $0.change = { for index in $0.interfaces.indices { $0.interfaces[index].macAddress = nil } }
        },
        BrokenMachines("lets guests write to read-only disks", caughtBy: "a read-only disk stays as it is") {
            $0.change = { for index in $0.disks.indices { $0.disks[index].isReadOnly = false } }
        },
        BrokenMachines("attaches disks in reverse", caughtBy: "the first of several disks is booted") {
            $0.change = { $0.disks.reverse() }
        },
        BrokenMachines(
            "has its own mind about the order of boot devices",
            caughtBy: "is kept with a manifest's options"
        ) {
            $0.change = {
                if case .devices(let order) = $0.boot { $0.boot = .devices(order.sorted { $0.rawValue < $1.rawValue }) }
            }
        },
        BrokenMachines("runs as nice as everybody else", caughtBy: "(RES-3)") { $0.change = { $0.nice = 0 } },
        BrokenMachines("shows no display", caughtBy: "speaks VNC at its port") { $0.change = { $0.display = nil } },
        BrokenMachines("keeps the serial port to itself", caughtBy: "the serial socket leads both ways") {
            $0.change = { $0.serialSocket = nil }
        },
        BrokenMachines("runs any number of one name", caughtBy: "a name is had once") {
            $0.change = { definition in
                guard let other = VirtualMachineName("other-\(UInt32.random(in: .min ... .max))") else { return }
                definition.name = other
                definition.runtimeDirectory = definition.runtimeDirectory.appending("own")
                try? FileTree.makeDirectory(definition.runtimeDirectory)
            }
        },
        BrokenMachines("boots where it should restore", caughtBy: "goes on where its saved memory stood") {
            $0.forgetsMemory = true
        },
    ]

    private static let operations = [
        BrokenMachines("can't wait", caughtBy: "stands until it is told to go on") {
            $0.change = { $0.startsPaused = false }
        },
        BrokenMachines("pauses in word only", caughtBy: "pausing stops the guest") {
            $0.pause = { _ in }
        },
        BrokenMachines("saves the memory of what runs", caughtBy: "goes on where its saved memory stood") {
            $0.saveMemory = { machine, file in
                try await machine.pause()
                try await machine.saveMemory(to: file)
                try await machine.resume()
            }
        },
        BrokenMachines("kills where it should press the power button", caughtBy: "heeds the power button") {
            $0.powerDown = { try await $0.kill() }
        },
        BrokenMachines("ends where it should reset", caughtBy: "the reset button starts the guest again") {
            $0.reset = { try await $0.kill() }
        },
        BrokenMachines("can't kill what is dead", caughtBy: "again it is no error") {
            $0.kill = { machine in
                if case .ended = try await machine.state() {
                    throw VirtualMachineError(.notRunning, machine: machine.name.description, detail: "it is dead")
                }
                try await machine.kill()
            }
        },
        BrokenMachines("finds nothing", caughtBy: "found by another instance") { $0.find = { _ in nil } },
    ]

    private static let ends = [
        BrokenMachines("takes a reset for a shutdown", caughtBy: "a guest that resets itself") {
            $0.exit = { $0 == .guestReset ? .guestShutdown : $0 }
        },
        BrokenMachines("takes a crash for a kill", caughtBy: "a hypervisor that dies") {
            $0.exit = { if case .crashed = $0 { .killed } else { $0 } }
        },
        BrokenMachines("knows no panic", caughtBy: "a guest's panic is told") {
            $0.state = { $0 == .panicked ? .running : $0 }
        },
        BrokenMachines("leaves something behind", caughtBy: "switches itself off ends as that") {
            $0.ended = { try? FileTree.write("left", to: $0.runtimeDirectory.appending("left")) }
        },
        BrokenMachines("leaves something behind a start that failed", caughtBy: "that the hypervisor gives up") {
            $0.failed = { try? FileTree.write("left", to: $0.runtimeDirectory.appending("left")) }
        },
        BrokenMachines("can't tell what is missing from what won't start", caughtBy: "what is not there is told") {
            $0.kind = { $0 == .missingResource ? .cannotStart : $0 }
        },
        BrokenMachines("starts what can't be", caughtBy: "what can't be is told") {
            $0.change = { if $0.cpus == 0 { $0.cpus = 1 } }
        },
    ]
}
