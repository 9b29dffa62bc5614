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
                try await lab.lab.publishPackage(check: clean)
                try await lab.withAgent {
                    try await eventually("the bootstrap", within: .seconds(400), every: .seconds(1)) {
                        FileTree.exists(lab.machine.appending("linux-default/.warm/memory"))
                    }
                    let made = try BootstrappedManifest(machineAt: lab.machine.appending("linux-default"))
                    #expect(made.toolchainID == "t1" && made.bootstrap.versions["bbot"] == "0.18.0")

                    for _ in 1...3 { #expect(try await lab.build() == "success") }
                    try await lab.lab.publishPackage(check: WarmBuild.check)
                    try await warmBuilds(lab, made)
                    let starts = try lab.agentLog().filter { $0.contains(": at work after ") }
                    #expect(starts.count == 6 && starts.allSatisfy { $0.hasSuffix(" ms, from saved memory") })
                    try await lab.lab.publishPackage(check: "false")
                    #expect(try await lab.build() == "error")
                    try await lab.lab.publishPackage(check: "sync; echo c > /proc/sysrq-trigger")
                    #expect(try await lab.build() == "abnormal")
                    try await lab.lab.publishPackage(check: "echo 'hello.c:1:1: warning: it is short'")
                    #expect(try await lab.build() == "warning")
                    // What make says of a clock is no warning about the package.
                    try await lab.lab.publishPackage(check: clean, clockAhead: .seconds(3600))
                    #expect(try await lab.build() == "success")

                    try await eventually("idleness", within: .seconds(60)) {
                        try lab.agentStatus().activity == .idle
                    }
                    let status = try lab.agentStatus()
                    #expect(status.results == ["success": 7, "warning": 1, "error": 1, "abnormal": 1])
                    #expect(status.reason?.contains("has no task") == true)
                }
                #expect(try await lab.leftovers() == [])
                try await silent(lab)
                try await away(lab, clean)
                try await interrupted(lab, clean)
                #expect(try await lab.leftovers() == [])
                try await killed(lab, clean)
                #expect(try await lab.leftovers() == [])
                try await invalid(lab)
                #expect(try await lab.leftovers() == [])
                try await auxiliaries(lab)
                #expect(try await lab.leftovers() == [])
                try await interactive(lab)
                try await libvirt(lab, clean)
                #expect(try await lab.leftovers() == [])
                try await allInterrupted(lab, clean)
                #expect(try await lab.leftovers() == [])
                let log = try FileTree.readText(lab.lab.logs.appending("controller-8090.log"), limit: 1 << 22)
                #expect(
                    !log.split(separator: "\n").contains {
                        $0.hasPrefix("build") && !$0.hasSuffix(" ok") && !$0.hasSuffix(" dropped")
                    },
                    "\(log)"
                )
            }
        }

        /// Machines that go on from the same memory have the right time, randomness of their own, and one address each.
        private func warmBuilds(_ lab: AgentLab, _ made: BootstrappedManifest) async throws {
            var spans: [ClosedRange<Int>] = []
            for _ in 1...3 {
                let start = time(nil)
                #expect(try await lab.build() == "success")
                spans.append(start - 1...time(nil) + 1)
            }
            let builds = try WarmBuild.all(in: lab)
            #expect(builds.count == 3 && Set(builds.map(\.random)).count == 3, "\(builds)")
            for (build, span) in zip(builds, spans) { #expect(span.contains(build.time), "\(build), \(span)") }
            let address = try #require(made.machine.macAddress)
            #expect(builds.allSatisfy { $0.hardware == "\(address)" }, "\(builds), \(address)")
            let leases = try FileTree.readText(lab.lab.directory.appending("agent-leases"))
            #expect(builds.allSatisfy { leases.contains(" \(address) \($0.address) ") }, "\(builds), \(leases)")
        }

        /// Saved memory that is damaged is no reason not to build, and is made anew; that of another QEMU is not used.
        private func invalid(_ lab: AgentLab) async throws {
            let machine = lab.machine.appending("linux-default")
            try await lab.lab.transport.check(Command("btrfs", ["property", "set", machine.string, "ro", "false"]))
            try FileTree.write([UInt8](repeating: 0x5a, count: 4096), to: machine.appending(".warm/memory"))
            try await lab.lab.transport.check(Command("btrfs", ["property", "set", machine.string, "ro", "true"]))
            var before = try lab.agentLog().count
            try await lab.withAgent {
                #expect(try await lab.build() == "success")
                let log = try lab.agentLog().dropFirst(before)
                #expect(log.contains { $0.contains("its saved memory can't be used") }, "\(log)")
                #expect(try await lab.build() == "success")
                let later = try lab.agentLog().dropFirst(before)
                #expect(later.contains { $0.contains("its memory is saved") }, "\(later)")
                #expect(later.contains { $0.hasSuffix(" ms, from saved memory") }, "\(later)")
            }
            let programs = lab.root.appending("other-qemu")
            try FileTree.makeDirectory(programs)
            try FileTree.write(
                "#!/bin/sh\n[ \"$1\" = --version ] && exec echo 'QEMU emulator version 0.0'\n"
                    + "exec /usr/bin/qemu-system-x86_64 \"$@\"\n",
                to: programs.appending("qemu-system-x86_64"),
                permissions: [.ownerReadWriteExecute, .groupReadExecute, .otherReadExecute]
            )
            before = try lab.agentLog().count
            try await lab.withAgent(programs: programs) {
                #expect(try await lab.build() == "success")
                let log = try lab.agentLog().dropFirst(before)
                #expect(log.contains { $0.contains("its memory is saved") }, "\(log)")
                #expect(log.contains { $0.hasSuffix(" ms, from saved memory") }, "\(log)")
            }
        }

        /// An agent killed in the middle of a build that hangs leaves much; the next one takes it away, and builds. Told to
        /// drain, it takes nothing.
        private func killed(_ lab: AgentLab, _ clean: String) async throws {
            try await lab.lab.publishPackage(check: "sleep 10000")
            try await lab.withAgentToBeKilled {
                try await lab.controller.control("tasks=1")
                try await eventually("a build", within: .seconds(120)) {
                    try lab.agentStatus().reason == "the machine works"
                }
            }
            #expect(try await !lab.leftovers().isEmpty)

            try await lab.withAgent(["--build-timeout", "10"]) {
                #expect(try await lab.build() == "abnormal")
                try await lab.lab.publishPackage(check: clean)
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

/// What a build that went on from saved memory found, as it told the web server.
private struct WarmBuild {
    let random: String
    let time: Int
    let hardware: String
    let address: String

    /// The commands of a `make check` that tells.
    static let check =
        "curl -sS -o /dev/null http://\(AgentLab.address):8080/facts/$$(cat /proc/sys/kernel/random/uuid)/$$(date +%s)/"
        + "$$(cat /sys/class/net/e*/address)"

    static func all(in lab: AgentLab) throws -> [WarmBuild] {
        let log = try FileTree.readText(lab.lab.logs.appending("agent-web.log"), limit: 1 << 22)
        return log.split(separator: "\n").compactMap { line in
            // 10.98.0.100 - - [25/Nov/2026 12:00:00] "GET /facts/<random>/<time>/<hardware> HTTP/1.1" 404 -
            let words = line.split(separator: " ")
            guard let path = words.first(where: { $0.hasPrefix("/facts/") })?.split(separator: "/"), path.count == 4,
                let time = Int(path[2])
            else { return nil }
            return WarmBuild(random: "\(path[1])", time: time, hardware: "\(path[3])", address: "\(words[0])")
        }
    }
}
