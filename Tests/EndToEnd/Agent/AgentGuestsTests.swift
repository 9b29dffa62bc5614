import BuildOSKit
import Glibc
import TestSupport
import Testing

/// More than one guest, and guests that somebody looks at: steps of the agent's test at a desk.
extension EndToEndTests.Agent {
    /// A build finds its auxiliary machines by its environment; two of one kind are two machines; one that ends takes the
    /// build with it.
    func auxiliaries(_ lab: AgentLab) async throws {
        let site = AgentLab.site
        try await lab.lab.publishPackage(
            check: "curl -sS --fail http://$$DATABASE_ADDRESS:$$DATABASE_PORT/word | grep 'a word from beside'"
        )
        try await lab.withAgent {
            try await lab.controller.control("add=auxiliary-machine-database:\(site)")
            #expect(try await lab.build() == "success")
            try await lab.lab.publishPackage(
                check: "test $$A_ADDRESS != $$B_C_ADDRESS && curl -sS --fail http://$$A_ADDRESS:$$A_PORT/word && "
                    + "curl -sS --fail http://$$B_C_ADDRESS:$$B_C_PORT/word"
            )
            try await lab.controller.control("add=auxiliary-machine-a:\(site)&add=auxiliary-machine-b-c:\(site)")
            #expect(try await lab.build() == "success")
            try await lab.lab.publishPackage(check: "curl -sS http://$$A_ADDRESS:$$A_PORT/cgi-bin/end; sleep 10000")
            try await lab.controller.control("add=auxiliary-machine-a:\(site)")
            #expect(try await lab.build() == "abnormal")
            #expect(try await lab.controller.lastResult().contains("auxiliary machine '\(site)'"))
        }
    }

    /// A build stops where its task says so, its screen is there for whoever was told, and it goes on when that shell is
    /// left: with a file that only a person could have made.
    func interactive(_ lab: AgentLab) async throws {
        try await lab.lab.publishPackage(check: "test -e permission")
        try await lab.withAgent {
            #expect(try await lab.build() == "error")
            let before = try await lab.controller.results().count
            try await lab.controller.control("add=interactive:test&tasks=1")
            try await eventually("a build that has stopped", within: .seconds(120)) {
                try lab.consoles().contains { $0.contains("stopped for somebody to log in: before test") }
            }
            #expect(try await lab.controller.login() == "\(AgentLab.address):5901\n")
            let screen = try await lab.lab.check(
                "ss",
                ["--listening", "--numeric", "--tcp", "--no-header", "sport", "=", "5901"]
            )
            #expect(screen.contains("0.0.0.0:5901"), "\(screen)")
            let monitor = QEMUMonitor(transport: lab.lab.transport, socket: "/tmp/monitor-default-1")
            for key in Self.keys("echo > source/permission\nexit\n") { _ = try await monitor.run("sendkey \(key)") }
            try await eventually("the result", within: .seconds(120)) {
                try await lab.controller.results().count > before
            }
            #expect(try await lab.controller.results().last == "success")
        }
    }

    /// The names of keys (QEMU's monitor, `sendkey`).
    private static func keys(_ text: String) -> [String] {
        text.map { character in
            switch character {
            case " ": "spc"
            case "\n": "ret"
            case "/": "slash"
            case ">": "shift-dot"
            default: "\(character)"
            }
        }
    }

    /// The same with libvirt: bootstrap, builds, an auxiliary machine, a failure.
    func libvirt(_ lab: AgentLab, _ clean: String) async throws {
        let desk = lab.lab
        let service = PrivateLibvirtd(in: desk.directory.appending("libvirtd"), by: desk.transport) {
            desk.inNetwork($0.executable, $0.arguments)
        }
        try await service.start()
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await builds(lab, clean, by: service)) } catch { outcome = .failure(error) }
        try await service.stop()
        try outcome.get()
    }

    private func builds(_ lab: AgentLab, _ clean: String, by service: PrivateLibvirtd) async throws {
        try await lab.lab.check(
            "btrfs",
            ["subvolume", "delete", lab.machine.appending("linux-default").string]
        )
        try await lab.lab.publishPackage(check: clean)
        try await lab.withAgent(["--hypervisor", service.uri], virtualMachines: "libvirt") {
            for _ in 1...2 { #expect(try await lab.build(within: .seconds(400)) == "success") }
            try await lab.controller.control("add=auxiliary-machine-database:\(AgentLab.site)")
            #expect(try await lab.build() == "success")
            try await lab.lab.publishPackage(check: "sync; echo c > /proc/sysrq-trigger")
            #expect(try await lab.build() == "abnormal")
            try await lab.lab.publishPackage(check: clean)
            #expect(try await lab.build() == "success")
        }
    }

    /// A task of a higher digit D ends the tasks of all instances, not only that in whose machine it is built.
    func allInterrupted(_ lab: AgentLab, _ clean: String) async throws {
        try await lab.addSecondMachine()
        try await lab.lab.publishPackage(check: "sleep 10000")
        try await lab.withAgent {
            try await lab.withAgent(instance: 2) {
                let before = try await lab.controller.results().count
                let urgentBefore = try await lab.urgentController.results().count
                try await lab.controller.control("tasks=2")
                try await eventually("two builds", within: .seconds(400)) {
                    try [1, 2].allSatisfy {
                        let status = try lab.agentStatus($0)
                        return status.activity == .building && status.reason == "the machine works"
                    }
                }
                try await lab.lab.publishPackage(check: clean)
                try await lab.urgentController.control("tasks=1")
                try await eventually("the urgent result", within: .seconds(120), every: .seconds(1)) {
                    try await lab.urgentController.results().dropFirst(urgentBefore) == ["success"]
                }
                #expect(try await lab.controller.results().dropFirst(before) == ["interrupt", "interrupt"])
            }
        }
    }
}

extension AgentLab {
    /// What the guests of builds that run have said so far.
    fileprivate func consoles() throws -> [String] {
        try FileTree.names(in: machine).filter { $0.contains("-1_") }.compactMap {
            try? FileTree.readText(machine.appending($0).appending(".buildos/console.log"), limit: 1 << 22)
        }
    }
}
