import BuildOSKit
import TestSupport

extension VirtualHost {
    /// Boots a host that runs virtual machines of its own, and another one if that hangs.
    ///
    /// TCG of QEMU 7.2 with a thread for each processor may run code that is no longer there, if it was changed while it
    /// was translated. Linux changes its scheduler when the first virtual machine starts and when the last has ended (the
    /// static key of KVM's preempt notifiers): a breakpoint that was there for a moment is then met by all processors for
    /// good, and the host is dead. No program in it can help that, and no test of these programs can go on. It is told, and
    /// its state kept in `build/lab/`.
    ///
    /// - Parameters:
    ///   - shape: makes one under a name, with disks of its own.
    ///   - body: done again from the beginning with the second host.
    static func withHostOfMachines(
        in lab: Lab,
        _ shape: (_ name: String) async throws -> HostShape,
        _ body: () async throws -> Void
    ) async throws {
        var hasHung = false
        try await withHost(try await shape("builder"), in: lab) { host in
            do { try await body() } catch {
                guard try await host.hasHung() else { throw error }
                hasHung = true
                print("the emulated host hung, and another is booted; this was seen of it: \(error)")
                await host.keepProcessorState()
            }
        }
        if hasHung { try await withHost(try await shape("builder-2"), in: lab) { _ in try await body() } }
    }

    /// Has a virtual machine without processors run as long as the host does, so that there is always one: the scheduler is
    /// changed once, not with every build.
    func keepVirtualMachine() async throws {
        try await eventually("KVM on \(shape.name)", within: .seconds(60), every: .seconds(1)) {
            try await attempt("test -e /dev/kvm").status.isSuccess
        }
        let machine = "qemu-system-x86_64 -machine none -accel kvm -nodefaults -display none"
        try await run("sudo systemd-run --quiet --unit=keeper \(machine)")
        let descriptors = "/proc/$(systemctl show --property=MainPID --value keeper)/fd"
        try await eventually("a virtual machine that stays", within: .seconds(60), every: .seconds(1)) {
            try await attempt("sudo ls -l \(descriptors) | grep kvm-vm").status.isSuccess
        }
    }

    /// Whether all of its processors are busy, and it does not even answer a ping, before and after that was looked at.
    private func hasHung() async throws -> Bool {
        guard !isOff, !(try await answersPing()) else { return false }
        let seconds = 10
        let before = processorSeconds
        try await Task.sleep(for: .seconds(seconds))
        let busy = processorSeconds - before
        guard busy > 0.8 * Double(seconds * shape.cpus) else { return false }
        return !(try await answersPing())
    }

    private func answersPing() async throws -> Bool {
        let ping = lab.inside("busybox", ["ping", "-c", "5", "-W", "3", shape.address])
        return try await lab.transport.run(
            ping,
            input: .none,
            output: .discarded,
            error: .discarded,
            timeLimit: .seconds(60)
        ).status.isSuccess
    }

    /// How long its QEMU, and what that was started by, have had processors so far.
    private var processorSeconds: Double {
        Processes.all(withArguments: [monitor.string]).map(Processes.processorSeconds).reduce(0, +)
    }

    /// Keeps what its processors are at, three times, as the log `NAME.registers.log`.
    private func keepProcessorState() async {
        let command = Command("socat", ["-t", "2", "STDIO", "UNIX-CONNECT:\(monitor)"])
        for _ in 1...3 {
            _ = try? await lab.transport.run(
                command,
                input: .bytes(Array("info registers -a\n".utf8)),
                output: .appended(to: lab.logs.appending("\(shape.name).registers.log")),
                error: .discarded,
                timeLimit: .seconds(20)
            )
        }
    }
}
