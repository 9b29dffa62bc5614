import TestSupport
import Testing

@testable import BuildOSCommands
@testable import BuildOSKit

@Suite("Status") struct StatusTests {
    private let now = Timestamp(seconds: 1_763_877_600)

    /// A host with one toolchain that runs and one that fails.
    private var example: HostStatus {
        func ago(_ seconds: Int64) -> Timestamp { now.advanced(by: .seconds(-seconds)) }
        let running = HostStatus.Toolchain(
            name: "default",
            state: "running",
            since: ago(600),
            version: "0.17.0",
            id: "ae89",
            instances: 1,
            nice: 5,
            watch: HostStatus.Watch(url: "https://example.org/toolchain.sha256", lastAnswer: ago(20)),
            agents: [
                AgentUnitState(
                    instance: 1,
                    unit: "bbot-agent@default-1.service",
                    activeState: "active",
                    subState: "running",
                    restarts: 2,
                    nice: 5,
                    cpuAffinity: "0 1"
                )
            ]
        )
        let failed = HostStatus.Toolchain(
            name: "next",
            state: "failed",
            since: ago(100),
            instances: 1,
            nice: 0,
            failure: HostStatus.Failure(
                step: "bootstrap",
                cause: "build.sh: exit status 1",
                remedy: "see the log",
                failures: 3,
                nextTry: now.advanced(by: .seconds(90))
            ),
            watch: HostStatus.Watch(
                url: "https://example.org/next.sha256",
                failingSince: ago(100),
                problem: "HTTP status 404"
            ),
            agents: []
        )
        return HostStatus(
            host: "build-1",
            buildId: "20251123-aaaaaaaa",
            processId: 42,
            startedAt: ago(7300),
            writtenAt: ago(3),
            heartbeatSeconds: 30,
            state: "running",
            since: ago(7200),
            waitingFor: ["toolchain next: bootstrap failed: build.sh: exit status 1"],
            slice: HostStatus.Slice(cpus: 4, buildRamKiB: 16 << 20, auxiliaryRamKiB: 4 << 20),
            toolchains: [running, failed],
            inUse: [],
            removedAtStart: [],
            troubles: [Trouble(.storage, "/state", cause: "it is full")],
            configurationErrors: ["error: buildos.nice=20: 20 is not from -20 to 19"],
            mails: [HostStatus.Mail(at: ago(100), subject: "toolchain next can't be bootstrapped")]
        )
    }

    @Test("A status is read by people")
    func listing() {
        let text = StatusListing(status: example, now: now).text
        #expect(
            text == """
                build-1: running since 2025-11-23T04:00:00Z (2 h 0 min ago)
                  build id         20251123-aaaaaaaa
                  an instance has  4 CPUs, 16 GiB for builds, 4 GiB for auxiliary machines
                  waits for        toolchain next: bootstrap failed: build.sh: exit status 1
                  trouble          /state: it is full
                  configuration    error: buildos.nice=20: 20 is not from -20 to 19

                toolchain default 0.17.0: running since 2025-11-23T05:50:00Z (10 min ago)
                  id               ae89
                  checksums at     https://example.org/toolchain.sha256
                  looked at        2025-11-23T05:59:40Z (20 s ago)
                  agents           bbot-agent@default-1.service  active (running)  nice 5  CPUs 0 1  restarted 2 times

                toolchain next: failed since 2025-11-23T05:58:20Z (100 s ago)
                  failed           bootstrap, 3 times
                  cause            build.sh: exit status 1
                  remedy           see the log
                  next try         2025-11-23T06:01:30Z (in 90 s)
                  checksums at     https://example.org/next.sha256
                  no answer        since 2025-11-23T05:58:20Z (100 s ago): HTTP status 404

                mails
                  2025-11-23T05:58:20Z  toolchain next can't be bootstrapped

                """
        )
    }

    @Test("A builtin agent's work, or why it has none, and a drain are shown beside its unit")
    func agents() throws {
        var status = example
        status.toolchains[0].agent = "builtin"
        status.toolchains[0].agentReason = "buildos.agent says so"
        var agent = AgentStatus(
            toolchain: "default",
            instance: 1,
            processId: 7,
            since: now.advanced(by: .seconds(-30))
        )
        agent.activity = .building
        agent.reason = "the machine works"
        agent.machine = "linux"
        agent.task = AgentStatus.Task(name: "hello", version: "1.0", controller: "https://c.example/", number: 1)
        agent.results = ["success": 2, "error": 1]
        agent.last = AgentStatus.Done(name: "hello", version: "0.9", status: "error", at: now)
        status.agents = [agent]
        status.drain = DrainRequest(note: "new disk", since: now)
        let text = StatusListing(status: status, now: now).text
        for line in [
            "  draining         since 2025-11-23T06:00:00Z (0 s ago), for the operator: new disk",
            "  which are        builtin, because buildos.agent says so",
            "  instance 1       building hello/1.0 in machine linux: the machine works, since 2025-11-23T05:59:30Z (30 s ago)",
            "                   results: 1 error, 2 success; last hello/0.9, error, 2025-11-23T06:00:00Z (0 s ago)",
        ] { #expect(text.contains("\(line)\n"), "\(text)") }
    }

    @Test(
        "A status that no living monitor keeps up, or whose monitor was stopped, says so first",
        arguments: [true, false]
    )
    func stale(stopped: Bool) {
        var status = example
        if stopped { status.state = "stopped" } else { status.writtenAt = now.advanced(by: .seconds(-91)) }
        let listing = StatusListing(status: status, now: now)
        #expect(listing.isStale == !stopped)
        #expect(listing.text.hasPrefix("NO MONITOR RUNS: "))
        #expect(!StatusListing(status: example, now: now).text.contains("NO MONITOR"))
    }

    @Test("A status is the same after it was written and read; its keys stay what they are")
    func file() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory.appending("run").appending("status.json")
            try StatusFile(path).publish(example)
            var read = try StatusFile.read(path)
            #expect(read.agents == [] && read.drain == nil)
            read.agents = nil
            #expect(read == example)
            let text = try FileTree.readText(path)
            for key in [
                "schema", "host", "buildId", "processId", "startedAt", "writtenAt", "heartbeatSeconds", "state",
                "since",
                "waitingFor", "slice", "buildRamKiB", "toolchains", "version", "failure", "nextTry", "failingSince",
                "agents", "activeState", "subState", "cpuAffinity", "troubles", "configurationErrors", "mails",
            ] { #expect(text.contains("\"\(key)\" : "), "\(key)") }
            #expect(text.contains("\"writtenAt\" : \"2025-11-23T05:59:57Z\""))
            #expect(try FileTree.names(in: path.removingLastComponent()) == ["status.json"])
        }
    }

    @Test("What is no status, of another schema, or not there, is told apart")
    func unreadable() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory.appending("status.json")
            #expect(
                throws: StatusFileError(path: path, problem: .file(FileError("read", path, .noSuchFileOrDirectory)))
            ) {
                try StatusFile.read(path)
            }
            for (content, problem) in [
                ("", StatusFileError.Problem.content), ("{}", .content), ("{\"schema\":1}", .content),
                ("{\"schema\":7}", .schema(7)), ("<html>", .content),
            ] {
                try FileTree.write(content, to: path)
                #expect(throws: StatusFileError(path: path, problem: problem)) { try StatusFile.read(path) }
            }
        }
    }
}
