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
}

extension AgentLab {
    /// What the guests of builds that run have said so far.
    fileprivate func consoles() throws -> [String] {
        try FileTree.names(in: machine).filter { $0.contains("-1_") }.compactMap {
            try? FileTree.readText(machine.appending($0).appending(".buildos/console.log"), limit: 1 << 22)
        }
    }
}
