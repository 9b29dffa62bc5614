import BuildOSConformance
import BuildOSKit
import CurlFetcher
import Glibc
import TestSupport
import Testing

@Suite("BOT-3: undelivered results") struct ResultSpoolTests {
    @Test("BOT-3: a result that can't be delivered is kept, and delivered when the controller is back")
    func keptAndDelivered() async throws {
        try await ControllerLab.run { lab in
            let spool = try ResultSpool(lab.directory.appending("spool"))
            let assignment = try await lab.assignment()
            let request = try await lab.result(of: assignment, .error)
            try await lab.control("fail=503&times=6")
            let first = try await spool.deliver(request, to: assignment.resultURL, by: lab.client)
            #expect(first.map(\.fate.isKept) == [true])
            #expect(try await spool.deliverKept(by: lab.client).map(\.fate.isKept) == [false])
            #expect(try await lab.results() == ["\(assignment.session) error"])
            #expect(try FileTree.names(in: spool.directory).isEmpty)
        }
    }

    @Test("BOT-3: a result is in the spool before the controller hears of it, and readable by its owner alone")
    func writtenFirst() async throws {
        try await ControllerLab.run { lab in
            let spool = try ResultSpool(lab.directory.appending("spool"))
            let assignment = try await lab.assignment()
            let nobody = try ResourceURL("http://127.0.0.1:\(MisbehavingServer.unusedPort())/?build-result")
            // A process that is killed while it reports leaves what one leaves whose controller doesn't answer.
            _ = try await spool.deliver(lab.result(of: assignment), to: nobody, by: lab.client)
            let name = try #require(try spool.results().first)
            var status = stat()
            #expect(stat(spool.directory.appending(name).string, &status) == 0 && status.st_mode & 0o077 == 0)
            let text = try FileTree.readText(spool.directory.appending(name))
            #expect(text.contains(nobody.description) && text.contains("status: success"))
        }
    }

    @Test("BOT-3: an agent that is killed while it reports loses nothing: the next one delivers")
    func killed() async throws {
        try await ControllerLab.run { lab in
            let directory = lab.directory.appending("spool")
            let assignment = try await lab.assignment()
            let request = try await lab.result(of: assignment)
            try await lab.control("fail=503")
            let url = assignment.resultURL.description
            await #expect(processExitsWith: .signal(SIGKILL)) {
                [
                    session = request.session as String, challenge = request.challenge as String?,
                    path = directory.string as String, url = url as String
                ] in
                let client = ControllerClient(
                    fetcher: try CurlFetcher(),
                    transport: ControllerLab.transport,
                    key: nil,
                    scratch: "/tmp",
                    sleep: { _ in kill(getpid(), SIGKILL) }
                )
                let result = BuildResult(name: "libhello", version: "1.1.0+10", status: .error)
                let request = ResultRequest(session: session, challenge: challenge, result: result)
                _ = try await ResultSpool(FilePath(path)).deliver(request, to: ResourceURL(url), by: client)
            }
            let spool = try ResultSpool(directory)
            #expect(try await spool.deliverKept(by: lab.client).map(\.fate) == [.delivered])
            #expect(try await lab.results() == ["\(request.session) error"])
        }
    }

    @Test("BOT-3: a result that a controller refuses for good is not kept")
    func refused() async throws {
        try await ControllerLab.run { lab in
            let spool = try ResultSpool(lab.directory.appending("spool"))
            let assignment = try await lab.assignment()
            var request = try await lab.result(of: assignment)
            request.session = "/another/1"
            let reports = try await spool.deliver(request, to: assignment.resultURL, by: lab.client)
            guard case .refused(let error) = reports.first?.fate else {
                Issue.record("\(reports)")
                return
            }
            #expect(error.cause.contains("invalid session"))
            #expect(lab.pauses.all.isEmpty)
            #expect(try spool.results().isEmpty)
        }
    }

    @Test("BOT-3: what somebody can put right at a controller doesn't lose a result", arguments: [401, 404, 501])
    func mendable(status: Int) async throws {
        try await ControllerLab.run { lab in
            let spool = try ResultSpool(lab.directory.appending("spool"))
            let assignment = try await lab.assignment()
            try await lab.control("fail=\(status)")
            let reports = try await spool.deliver(lab.result(of: assignment), to: assignment.resultURL, by: lab.client)
            #expect(reports.map(\.fate.isKept) == [true])
            #expect(try await spool.deliverKept(by: lab.client).map(\.fate) == [.delivered])
        }
    }

    @Test("BOT-3: the spool is bounded in number and bytes, the oldest results go; the newest never does")
    func bounds() async throws {
        try await ControllerLab.run { lab in
            let assignment = try await lab.assignment()
            let request = try await lab.result(of: assignment, log: String(repeating: "x", count: 10_000))
            let nobody = try ResourceURL("http://127.0.0.1:\(MisbehavingServer.unusedPort())/?build-result")
            for (count, bytes, left) in [(3, Int64(1 << 20), 3), (64, 25_000, 2), (64, 10, 1)] {
                var limits = ResultSpool.Limits()
                (limits.count, limits.bytes) = (count, bytes)
                let spool = try ResultSpool(lab.directory.appending("spool-\(bytes)"), limits: limits)
                var displaced: [String] = []
                for second in 1...5 {
                    let reports = try await spool.deliver(
                        request,
                        to: nobody,
                        by: lab.client,
                        now: Timestamp(seconds: 1_000_000_000 + Int64(second))
                    )
                    displaced += reports.filter { $0.fate == .displaced }.map(\.name)
                }
                let names = try spool.results()
                #expect(names.count == left)
                #expect(displaced.count == 5 - left)
                #expect(names.allSatisfy { name in displaced.allSatisfy { $0 < name } })
            }
        }
    }

    @Test("BOT-3: what is too old is given up, what is damaged is told, and neither is in the way of others")
    func expiredAndDamaged() async throws {
        try await ControllerLab.run { lab in
            let spool = try ResultSpool(lab.directory.appending("spool"))
            let assignment = try await lab.assignment()
            let request = try await lab.result(of: assignment)
            try await lab.control("fail=503&times=10")
            let long = Timestamp(seconds: 1_000_000_000)
            _ = try await spool.deliver(request, to: assignment.resultURL, by: lab.client, now: long)
            try FileTree.write(": 1\nurl: nowhere\n", to: spool.directory.appending("000000000001-a.result"))
            try FileTree.write([0xff, 0], to: spool.directory.appending("000000000002-b.result"))
            let now = long.advanced(by: .seconds(24 * 3600))
            _ = try await spool.deliver(request, to: assignment.resultURL, by: lab.client, now: now)
            let fates = try await spool.deliverKept(by: lab.client, now: now.advanced(by: .seconds(1))).map(\.fate)
            #expect(fates.count == 4)
            #expect(fates.filter(\.isDamaged).count == 2)
            #expect(fates.contains(.expired) && fates.contains(.delivered))
            #expect(try spool.results().isEmpty)
        }
    }

    @Test("BOT-3: a controller that is away is asked once for all the results it is to have")
    func awayOnce() async throws {
        try await ControllerLab.run { lab in
            let spool = try ResultSpool(lab.directory.appending("spool"))
            let assignment = try await lab.assignment()
            let request = try await lab.result(of: assignment)
            try await lab.control("fail=503&times=1000")
            for _ in 0..<3 { _ = try await spool.deliver(request, to: assignment.resultURL, by: lab.client) }
            let before = try await lab.requests("build-result").count
            let fates = try await spool.deliverKept(by: lab.client).map(\.fate)
            #expect(fates.count == 3 && fates.allSatisfy(\.isKept))
            #expect(try await lab.requests("build-result").count - before == lab.client.settings.retries + 1)
        }
    }

    @Test("BOT-3: agents that share a spool deliver each result once")
    func shared() async throws {
        try await ControllerLab.run { lab in
            let spool = try ResultSpool(lab.directory.appending("spool"))
            for _ in 0..<6 {
                let assignment = try await lab.assignment()
                try await lab.control("fail=503&times=5")
                _ = try await spool.deliver(lab.result(of: assignment), to: assignment.resultURL, by: lab.client)
            }
            let before = try await lab.requests("build-result ok").count
            let reports = try await withThrowingTaskGroup(of: [ResultSpool.Report].self) { group in
                for _ in 0..<4 { group.addTask { try await spool.deliverKept(by: lab.client) } }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(reports.count == 6 && reports.allSatisfy { $0.fate == .delivered })
            #expect(try await lab.requests("build-result ok").count - before == 6)
            #expect(try await lab.results().count == 6)
            #expect(try FileTree.names(in: spool.directory).isEmpty)
        }
    }
}

extension ResultSpool.Fate {
    fileprivate var isKept: Bool { if case .kept = self { true } else { false } }
    fileprivate var isDamaged: Bool { if case .damaged = self { true } else { false } }
}
