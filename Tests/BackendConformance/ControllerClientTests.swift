import BuildOSConformance
import BuildOSKit
import Glibc
import LocalTransport
import TestSupport
import Testing

@Suite("BOT-3: controllers, with curl and openssl") struct ControllerClientTests {
    @Test(
        "BOT-3: a task is asked for, and its result reported, with and without authentication",
        arguments: [true, false]
    )
    func taskAndResult(isAuthenticated: Bool) async throws {
        try await ControllerLab.run(knowsKey: isAuthenticated) { lab in
            let assignment = try await lab.assignment()
            #expect(assignment.task.name == "libhello")
            #expect(assignment.task.machine == ControllerLab.machine.name)
            #expect((assignment.challenge != nil) == isAuthenticated)
            try await lab.client.report(
                lab.result(of: assignment, .warning, log: "\u{1b}[1mwarned\u{1b}[0m\n\\\n"),
                to: assignment.resultURL
            )
            #expect(try await lab.results() == ["\(assignment.session) warning"])
            #expect(try await lab.requests("build-") == ["build-task ok", "build-result ok"])
        }
    }

    @Test("BOT-3: where there is no task, there is none")
    func noTask() async throws {
        try await ControllerLab.run { lab in
            try await lab.control("tasks=0")
            #expect(try await lab.client.task(from: lab.url, for: ControllerLab.request()) == nil)
        }
    }

    @Test("BOT-3: a host whose key the controller doesn't know is told so")
    func unauthorized() async throws {
        try await ControllerLab.run { lab in
            let other = try await AgentKey.loadOrMake(
                lab.directory.appending("other.pem"),
                by: ControllerLab.transport,
                bits: 2048
            )
            for key in [nil, other] {
                let client = ControllerClient(
                    fetcher: lab.fetcher,
                    transport: ControllerLab.transport,
                    key: key,
                    scratch: lab.directory
                )
                let error = try await failure { try await client.task(from: lab.url, for: ControllerLab.request()) }
                #expect(error?.kind == .unauthorized)
            }
        }
    }

    @Test(
        "BOT-3: each refusal of a controller is told for what it is, and asked again only later",
        arguments: [
            ("fail=400", ControllerError.Kind.rejected), ("fail=401", .unauthorized), ("fail=413", .tooLarge),
            ("fail=404", .notThere), ("fail=500", .failing), ("fail=501", .disabled), ("fail=503", .failing),
            ("drop=1", .unreachable),
            ("answer=", .unintelligible), ("answer=%3Chtml%3E", .unintelligible),
            ("answer=:%201%0Asession:%20x%0A", .unintelligible),
        ]
    )
    func refusals(behaviour: String, kind: ControllerError.Kind) async throws {
        try await ControllerLab.run { lab in
            try await lab.control(behaviour)
            let error = try await failure { try await lab.client.task(from: lab.url, for: ControllerLab.request()) }
            #expect(error?.kind == kind, "\(String(describing: error))")
            #expect(try await lab.requests("build-task").count == 1)
            #expect(lab.pauses.all.isEmpty)
        }
    }

    @Test("BOT-3: a task for a machine that wasn't offered, or with a challenge for a host without a key, is not taken")
    func wrongTasks() async throws {
        let task =
            ": 1\nsession: s\nCHALLENGEresult-url: http://127.0.0.1/?build-result\n:\nname: a\nversion: 1\n"
            + "repository-url: https://example.org/1\nmachine: MACHINE\ntarget: t\nAUXILIARY"
        try await ControllerLab.run(knowsKey: false) { lab in
            for (machine, auxiliary, challenge, kind) in [
                ("other", "", "", ControllerError.Kind.unintelligible),
                (ControllerLab.machine.name, "auxiliary-machine: other\n", "", .unintelligible),
                (ControllerLab.machine.name, "", "challenge: \(String(repeating: "a", count: 64))\n", .cannotSign),
            ] {
                let text = task.replacing("MACHINE", with: machine).replacing("AUXILIARY", with: auxiliary)
                    .replacing("CHALLENGE", with: challenge)
                let escaped = text.utf8.map { byte in
                    let digits = String(byte, radix: 16)
                    return "%" + (digits.utf8.count == 1 ? "0" : "") + digits
                }
                try await lab.control("answer=\(escaped.joined())")
                let error = try await failure { try await lab.client.task(from: lab.url, for: ControllerLab.request()) }
                #expect(error?.kind == kind, "\(String(describing: error))")
            }
        }
    }

    @Test("BOT-3: a request that is more than a controller takes is not sent")
    func tooManyMachines() async throws {
        try await ControllerLab.run { lab in
            let machines = (0..<4000).map { MachineHeader(id: "\($0)", name: "machine-\($0)", summary: "One of many") }
            let request = try ControllerLab.request(machines)
            let error = try await failure { try await lab.client.task(from: lab.url, for: request) }
            #expect(error?.kind == .tooLarge)
            #expect(try await lab.requests("build-task").isEmpty)
        }
    }

    @Test("BOT-3: a log larger than a controller takes is cut, not refused")
    func largeLog() async throws {
        var settings = ControllerSettings()
        settings.maximumResultRequestBytes = 100_000
        try await ControllerLab.run(settings: settings) { lab in
            let assignment = try await lab.assignment()
            let log = String(repeating: "a line that ends in a backslash \\\n", count: 10_000)
            let request = try await lab.result(of: assignment, log: "first\n\(log)last\n")
            let sent = try #require(request.result.operations.first?.log)
            #expect(sent.hasPrefix("first") && sent.hasSuffix("last\n") && sent.utf8.count > 50_000)
            try await lab.client.report(request, to: assignment.resultURL)
            #expect(try await lab.results().count == 1)
        }
    }

    @Test("BOT-3: a result is reported again after pauses, until the controller takes it")
    func retries() async throws {
        try await ControllerLab.run { lab in
            let assignment = try await lab.assignment()
            try await lab.control("fail=503&times=2")
            try await lab.control("drop=1&times=1")
            try await lab.client.report(lab.result(of: assignment), to: assignment.resultURL)
            #expect(try await lab.results().count == 1)
            #expect(try await lab.requests("build-result").count == 4)
            let pauses = lab.pauses.all
            #expect(pauses.count == 3)
            for (pause, full) in zip(pauses, [5, 10, 20]) {
                #expect(pause <= .seconds(full) && pause >= .seconds(full) * 3 / 4)
            }
        }
    }

    @Test("BOT-3: a file is uploaded with its digest and the signed challenge; a type nobody asked for isn't")
    func upload() async throws {
        try await ControllerLab.run { lab in
            let archive = lab.directory.appending("pack\"age.tar")
            try FileTree.write((0..<500_000).map { UInt8(truncatingIfNeeded: $0 &* 13) }, to: archive)
            let assignment = try await lab.assignment()
            var upload = ControllerUpload(type: "bindist", instance: "archive", archive: archive)
            let response = try await lab.client.upload(upload, of: assignment)
            #expect(response.status == 200 && response.reference == "r1")
            #expect(try await lab.requests("upload") == ["upload ok"])
            upload.type = "other"
            let error = try await failure { try await lab.client.upload(upload, of: assignment) }
            #expect(error?.kind == .rejected)
            try await lab.client.report(lab.result(of: assignment), to: assignment.resultURL)
            upload.type = "bindist"
            let late = try await failure { try await lab.client.upload(upload, of: assignment) }
            #expect(
                late?.kind == .rejected && late?.cause.contains("invalid session") == true,
                "\(String(describing: late))"
            )
        }
    }

    @Test("BOT-3: of several controllers the first with a task gives it; why the others don't is told")
    func round() async throws {
        try await ControllerLab.run { lab in
            let controllers = [
                try Controller("http://127.0.0.1:\(try unusedPort())/?build-task"),
                try Controller("0001=\(lab.url)"),
            ]
            var generator = SeededGenerator(seed: 1)
            let request = try ControllerLab.request()
            let first = try await lab.client.task(fromAny: controllers, for: request, using: &generator)
            guard case .task(_, let controller) = first else {
                Issue.record("\(first)")
                return
            }
            #expect(controller == controllers[1])
            try await lab.control("tasks=0")
            let second = try await lab.client.task(fromAny: controllers, for: request, using: &generator)
            guard case .nothing(let reasons) = second else {
                Issue.record("\(second)")
                return
            }
            #expect(reasons.count == 2)
            #expect(reasons.first == .noTask(controllers[1]))
            #expect(reasons.last?.description.contains("127.0.0.1") == true)
        }
    }

    @Test("BOT-3: a key is made once, for its owner alone; one that others can read is refused")
    func keys() async throws {
        try await withTemporaryDirectory { directory in
            let file = directory.appending("state/agent/key.pem")
            let fingerprints = try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<3 {
                    group.addTask {
                        try await AgentKey.loadOrMake(file, by: ControllerLab.transport, bits: 2048).fingerprint
                    }
                }
                return try await group.reduce(into: Set<String>()) { $0.insert($1) }
            }
            #expect(fingerprints.count == 1)
            #expect(try FileTree.names(in: directory.appending("state/agent")) == ["key.pem"])
            var status = stat()
            #expect(stat(file.string, &status) == 0 && status.st_mode & 0o777 == 0o600)
            chmod(file.string, 0o640)
            await #expect(throws: AgentKey.Failure.self) { try await AgentKey(file, by: ControllerLab.transport) }
            try FileTree.write("no key", to: file, permissions: .ownerReadWrite)
            await #expect(throws: AgentKey.Failure.self) { try await AgentKey(file, by: ControllerLab.transport) }
        }
    }
}

/// The error of a controller that a closure must throw.
func failure(
    _ body: () async throws -> some Any,
    sourceLocation: SourceLocation = #_sourceLocation
) async throws -> ControllerError? {
    do {
        Issue.record("it ended well: \(try await body())", sourceLocation: sourceLocation)
        return nil
    } catch let error as ControllerError {
        return error
    }
}

/// A port of 127.0.0.1 at which nobody listens.
private func unusedPort() throws -> UInt16 { try MisbehavingServer.unusedPort() }
