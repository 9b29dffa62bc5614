import BuildOSKit
import Glibc
import TestSupport
import Testing

extension EndToEndTests {
    @Suite("6. An agent at a desk", .serialized)
    struct Agent {
        @Test(
            "BOT-1 to BOT-4: a machine is bootstrapped, tasks are built in one-shot machines, whatever goes wrong in them",
            .timeLimit(.minutes(20))
        )
        func builds() async throws {
            try await AgentLab.with(try Lab.current) { lab in
                // A build finds what an earlier one wrote, or it doesn't: then this passes.
                let clean = "./hello | grep hello && test ! -e /root/mark && touch /root/mark"
                try await lab.publishPackage(check: clean)
                try await lab.withAgent {
                    try await eventually("the bootstrap", within: .seconds(400), every: .seconds(1)) {
                        FileTree.exists(lab.machine.appending("linux-default/.warm/memory"))
                    }
                    let made = try BootstrappedManifest(machineAt: lab.machine.appending("linux-default"))
                    #expect(made.toolchainID == "t1" && made.bootstrap.versions["bbot"] == "0.18.0")

                    for _ in 1...3 { #expect(try await lab.build() == "success") }
                    try await lab.publishPackage(check: "false")
                    #expect(try await lab.build() == "error")
                    try await lab.publishPackage(check: "sync; echo c > /proc/sysrq-trigger")
                    #expect(try await lab.build() == "abnormal")
                    try await lab.publishPackage(check: clean)
                    #expect(try await lab.build() == "success")

                    try await eventually("idleness", within: .seconds(60)) {
                        try lab.agentStatus().activity == .idle
                    }
                    let status = try lab.agentStatus()
                    #expect(status.results == ["success": 4, "error": 1, "abnormal": 1])
                    #expect(status.reason?.contains("has no task") == true)
                }
                #expect(try await lab.leftovers() == [])
                try await killed(lab, clean)
                #expect(try await lab.leftovers() == [])
                let log = try FileTree.readText(lab.lab.logs.appending("controller.log"), limit: 1 << 22)
                #expect(
                    !log.split(separator: "\n").contains { $0.hasPrefix("build") && !$0.hasSuffix(" ok") },
                    "\(log)"
                )
            }
        }

        /// An agent killed in the middle of a build that hangs leaves much; the next one takes it away, and builds. Told to
        /// drain, it takes nothing.
        private func killed(_ lab: AgentLab, _ clean: String) async throws {
            try await lab.publishPackage(check: "sleep 10000")
            await #expect(throws: LabError.self) {
                try await lab.withAgent {
                    try await lab.control("tasks=1")
                    try await eventually("a build", within: .seconds(120)) {
                        try lab.agentStatus().reason == "the machine works"
                    }
                    kill(try lab.agentStatus().processId, SIGKILL)
                    try await Task.sleep(for: .seconds(1))
                }
            }
            #expect(try await !lab.leftovers().isEmpty)

            try await lab.withAgent(["--build-timeout", "10"]) {
                #expect(try await lab.build() == "abnormal")
                try await lab.publishPackage(check: clean)
                #expect(try await lab.build() == "success")
                let drain = lab.root.appending("run/buildos/drain.json")
                try DrainRequest(note: "for a test").write(to: drain)
                try await eventually("the drain", within: .seconds(60)) {
                    try lab.agentStatus().reason == "draining: for a test"
                }
                try DrainRequest.remove(drain)
                #expect(try await lab.build() == "success")
            }
        }
    }
}
