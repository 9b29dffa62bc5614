import BuildOSKit
import Synchronization
import TestSupport
import Testing

extension EndToEndTests {
    /// A booted host that does what hosts are for, in virtual machines of its own.
    @Suite("7. A host that builds", .serialized) struct Boot7 {
        let lab: Lab
        let controller: LabController
        private var host: VirtualHost { get throws { try VirtualHost.current } }

        // The bracket keeps pgrep from the shell that runs it.
        private static let guest = "pgrep -f '[g]uest=default-1'"
        private static let place = "/build/machines/default/linux"

        init() throws {
            lab = try Lab.current
            controller = LabController(lab: lab, address: Lab.address)
        }

        @Test(
            "BOT-1 to BOT-4, MACH-1, MACH-5: a machine comes over SSH, is bootstrapped, and tasks are built in one-shot machines",
            // Of each of two hosts, see withHostOfMachines; QEMU has 15 minutes for each.
            .timeLimit(.minutes(30))
        )
        func builds() async throws {
            try await VirtualHost.withHostOfMachines(in: lab) { name in
                try await BuilderHost.shape(named: name, in: lab)
            } _: {
                try await buildsOnce()
            }
        }

        private func buildsOnce() async throws {
            // A desk without btrfs.
            try await withVolume("ext4", mebibytes: 2048, by: lab.transport) { desk in
                let image = desk.appending("linux-1.0")
                async let made: Void = lab.makeMachine(at: image)
                try await host.isUp(within: .seconds(300))
                try await host.keepVirtualMachine()
                try await standIn()
                try await made
                try await lab.publishPackage(check: "./hello | grep hello")
                try await controller.run(repository: "http://\(Lab.address)", key: BuilderHost.publicKey(in: lab)) {
                    try await controller.control("tasks=1")
                    let added = try await host.machineControl(["add", image.string])
                    #expect(added.status.isSuccess, "\(added.outputText)\(added.errorText)")
                    try await expect("success", within: .seconds(400))
                    try await nothingIsLeft()
                    #expect(try await host.run("btrfs property get \(Self.place)/linux-default ro") == "ro=true")
                    try await killed()
                    try await drained()
                    #expect(try await controller.complaints() == [])
                }
            }
            #expect(try host.serial.alarms == [])
        }

        /// A toolchain without a bot package has builtin agents, which say what they lack.
        private func standIn() async throws {
            try await eventually("builtin agents of the toolchain nobot", within: .seconds(120), every: .seconds(1)) {
                try await host.attempt("buildosctl status").outputText.contains("no controller is configured")
            }
            let status = try await host.run("buildosctl status")
            #expect(status.contains("builtin, because its own agent is not to be had: can't build the bot package"))
            #expect(status.contains("builtin, because buildos.agent says so"))
            #expect(try await host.run("systemctl is-active buildos-agent@nobot-1.service") == "active")
        }

        /// A build that hangs has the instance's slice; its agent is killed; the next one takes away what is left, and builds.
        private func killed() async throws {
            try await lab.publishPackage(check: "sleep 10000")
            try await give(1)
            try await eventually("a build", within: .seconds(120), every: .seconds(1)) {
                try await host.attempt("buildosctl status").outputText
                    .contains("building hello/1.0 in machine linux: the machine works")
            }
            let qemu = "$(\(Self.guest))"
            #expect(try await host.run("cut -d' ' -f19 /proc/\(qemu)/stat") == "5")
            #expect(try await host.run("sed -n 's/^CapEff:\\t0*//p' /proc/\(qemu)/status") == "")
            let limit = try await host.run("cat /sys/fs/cgroup$(sed s/^0::// /proc/\(qemu)/cgroup)/memory.max")
            #expect(Int(limit) != nil, "no limit of memory: \(limit)")
            #expect(try await host.run("ls \(Self.place)").contains("linux-default-1_"))
            let state = try await host.machineControl(["monitor", "default-1", "info", "status"])
            #expect(state.outputText == "VM status: running\n", "\(state.errorText)")
            let heard = Mutex<[String]>([])
            let listener = CommandOutput.lines { line in heard.withLock { $0.append(line) } }
            async let console = host.machineControl(["login", "default-1", "--serial"], output: listener)
            try await askKernel { heard.withLock { $0.contains { $0.contains("sysrq: HELP") } } }

            try await lab.publishPackage(check: "./hello | grep hello")
            try await controller.control("tasks=1")
            let before = try await controller.results().count
            try await host.run("sudo systemctl kill --kill-who=main --signal=KILL buildos-agent@default-1.service")
            try await expect("success", after: before, within: .seconds(180))
            _ = try await console
            try await nothingIsLeft()
        }

        /// Has the guest's kernel say something to who is connected to its serial console.
        private func askKernel(hasAnswered: () -> Bool) async throws {
            try await eventually("somebody at the console", within: .seconds(30), every: .seconds(1)) {
                let devices = try await host.machineControl(["monitor", "default-1", "info", "chardev"])
                return devices.outputText.split(separator: "\n").contains {
                    $0.contains("/serial-default-1,") && !$0.contains("disconnected:")
                }
            }
            // Now and then a guest of an emulated host loses a key, so it is pressed until there is an answer.
            try await eventually("an answer of the kernel at the console", within: .seconds(60), every: .seconds(2)) {
                if hasAnswered() { return true }
                let asked = try await host.machineControl(["monitor", "default-1", "sendkey", "alt-sysrq-h"])
                #expect(asked.status.isSuccess, "\(asked.errorText)")
                return false
            }
        }

        /// A drain is waited for, shown, and keeps agents from tasks until it is taken back.
        private func drained() async throws {
            let said = try await host.run(
                "buildosctl drain --wait --timeout 60 --note 'for a test'",
                timeLimit: .seconds(90)
            )
            #expect(said.contains("nothing is built"))
            try await lab.publishPackage(check: "false")
            let before = try await controller.results().count
            try await controller.control("tasks=1")
            try await eventually("the drain in the status", within: .seconds(30)) {
                try await host.run("buildosctl status").contains("idle: draining: for a test")
            }
            #expect(try await controller.results().count == before)
            try await host.run("buildosctl resume")
            try await expect("error", after: before, within: .seconds(120))
            try await nothingIsLeft()
        }

        /// Gives tasks, and has an agent that waits for its next look at the controller look at once.
        private func give(_ count: Int) async throws {
            try await controller.control("tasks=\(count)")
            try await drain()
            try await host.run("buildosctl resume")
        }

        /// The guest that stands by goes with it.
        private func drain() async throws {
            try await host.run("buildosctl drain")
            try await eventually("an agent that drains", within: .seconds(30)) {
                try await host.run("cat \(AgentUnit.environmentDirectory)/default-1.json").contains("draining")
            }
        }

        /// Waits for a result, which is to be that; if it isn't, shows what the build and its agent said.
        private func expect(_ status: String, after count: Int = 0, within limit: Duration) async throws {
            try await eventually("a result at the controller", within: limit, every: .seconds(1)) {
                try await controller.results().count > count
            }
            guard try await controller.results().last != status else { return }
            let told = try await controller.lastResult()
            let journal = try await host.run("journalctl -u 'buildos-agent@default-1' -n 60 --no-pager")
            Issue.record("the result isn't \(status): \(told)\n\(journal)")
        }

        /// Neither snapshots nor machines, devices, rules or control groups of builds are there.
        private func nothingIsLeft() async throws {
            try await eventually("an idle agent", within: .seconds(60)) {
                try await host.run("buildosctl status").contains("has no task")
            }
            try await drain()
            #expect(try await host.run("ls \(Self.place)") == "linux-1\nlinux-1.0\nlinux-default")
            #expect(try await host.run("ip -brief link show type tun; sudo nft list tables | grep bridge; true") == "")
            #expect(try await host.run("\(Self.guest); ls -d /sys/fs/cgroup/system.slice/*/*/buildos-*; true") == "")
            try await host.run("buildosctl resume")
        }
    }
}
