import BuildOSKit
import Glibc

extension ArtifactStoreSuite {
    /// What a server must keep to itself, and how it begins and ends.
    var bounds: [ConformanceCheck] {
        [
            serving("no path and no link leads out of the root; links within it do their work") { store, directory in
                try await ServerBench.run(store, in: directory, ["dir/f": [7]]) { bench in
                    try FileTree.write("secret", to: directory.appending("secret"))
                    for (link, target) in [
                        ("out", "../secret"), ("absolute", directory.appending("secret").string), ("up", ".."),
                        ("within", "dir/f"), ("dir/above", "../dir"),
                    ] where symlink(target, bench.root.appending(link).string) != 0 {
                        throw ConformanceFailure("can't make a link in \(bench.root)")
                    }
                    guard mkfifo(bench.root.appending("pipe").string, 0o644) == 0 else {
                        throw ConformanceFailure("can't make a pipe in \(bench.root)")
                    }
                    for name in [
                        "../secret", "/../secret", "dir/../../secret", "dir/../dir/../../secret", "out", "absolute",
                        "up/secret", directory.appending("secret").string, "dir", "pipe", "", "/", "..",
                    ] {
                        let answer = try await bench.probe { probe in
                            probe.request(name)
                            return try probe.next().isError
                        }
                        try require(answer, "'\(name)' was served")
                    }
                    for name in ["dir/f", "/dir/f", "within", "dir/above/f"] {
                        let got = try await bench.probe { try $0.read(name) }
                        try require(got == [7], "'\(name)' was not served")
                    }
                }
            },
            serving("answers come from the address that was asked, of all that a machine has") { store, directory in
                try await ServerBench.run(store, in: directory, ["f": [7]]) { configuration, _ in
                    configuration.endpoint = ServerEndpoint(host: "0.0.0.0", port: 0)
                } _: { bench in
                    let asked = ServerEndpoint(host: "127.0.0.9", port: bench.server.endpoint.port)
                    for name in ["f", "missing"] {
                        let host = try await TFTPProbe.run(asked) { probe in
                            probe.request(name)
                            return try probe.next().host
                        }
                        try require(host == asked.host, "\(host) answered")
                    }
                }
            },
            serving("a missing file is error 1, and told of") { store, directory in
                try await ServerBench.run(store, in: directory) { bench in
                    try await bench.probe { probe in
                        probe.request("missing")
                        try probe.expectError(1)
                    }
                    let events = try await bench.transfers { _ in true }
                    guard case .failed = events.first?.stage, events.first?.name == "missing" else {
                        throw ConformanceFailure("told was \(events)")
                    }
                }
            },
            serving("BOT-3: only the names that may be read are") { store, directory in
                try await ServerBench.run(store, in: directory, ["task": [1], "other": [2]]) { configuration, _ in
                    configuration.readableNames = ["task"]
                } _: { bench in
                    let got = try await bench.probe { try $0.read("/task") }
                    try require(got == [1], "the task differs")
                    try await bench.probe { probe in
                        probe.request("other")
                        try require(try probe.next().isError, "another file was served")
                    }
                }
            },
            serving("a withheld request is told of once and stays without an answer") { store, directory in
                try await ServerBench.run(store, in: directory, ["task": [1], "f": [2]]) { configuration, _ in
                    configuration.withheldNames = ["task"]
                } _: { bench in
                    let answer = try await bench.probe { probe in
                        for _ in 0..<3 { probe.request("task") }
                        // What was asked later is answered: the silence is no delay.
                        _ = try TFTPProbe(bench.server.endpoint).read("f")
                        return try probe.next(within: 0)
                    }
                    try require(answer == nil, "it was answered")
                    let events = try await bench.transfers { if case .completed = $0.stage { true } else { false } }
                    try require(events.count { $0.stage == .withheld && $0.name == "task" } == 1, "told was \(events)")
                }
            },
            serving("a transfer is told of when it begins and when it has ended, with its bytes") { store, directory in
                try await ServerBench.run(store, in: directory, ["f": ServerBench.content(3000)]) { bench in
                    _ = try await bench.probe { try $0.read("f") }
                    let events = try await bench.transfers { if case .completed = $0.stage { true } else { false } }
                    let expected = [ArtifactTransfer.Stage.began, .completed(byteCount: 3000)].map {
                        ArtifactTransfer(direction: .read, name: "f", client: "127.0.0.1", stage: $0)
                    }
                    try require(events == expected, "told was \(events)")
                }
            },
            serving("TOOL-3: a transfer that runs reads on in the old set when the set is switched") {
                store,
                directory in
                let (old, new) = (ServerBench.content(5000), [UInt8](repeating: 9, count: 5000))
                func publish(_ content: [UInt8]) async throws {
                    let staging = try await store.begin(Self.name("set"))
                    try FileTree.write(content, to: staging.directory.appending("f"))
                    _ = try await store.publish(staging)
                }
                try await publish(old)
                let sets = directory.appending("made").appending("root")
                try await ServerBench.run(store, in: directory) { configuration, _ in
                    configuration.readRoot = sets
                } _: { bench in
                    let probe = try TFTPProbe(bench.server.endpoint)
                    let first = try await probe.perform { probe in
                        probe.request("set/f")
                        return try probe.next()
                    }
                    try await publish(new)
                    let rest = try await probe.perform { probe in
                        var (got, rest) = (first, [UInt8]())
                        while got.payload.count == 512 {
                            let block = got.number
                            probe.acknowledge(block, to: got.port)
                            repeat { got = try probe.next() } while got.number == block
                            try require(got.isData, "the transfer was broken off")
                            rest += got.payload
                        }
                        probe.acknowledge(got.number, to: got.port)
                        return rest
                    }
                    try require(first.payload + rest == old[...], "the file is a mixture")
                    let later = try await bench.probe { try $0.read("set/f") }
                    try require(later == new, "the old file is served on")
                }
            },
            serving("transfers beyond the limits are refused; what ends makes room") { store, directory in
                for limitsClient in [true, false] {
                    try await ServerBench.run(store, in: directory, ["f": ServerBench.content(600)]) {
                        configuration,
                        _ in
                        if limitsClient {
                            configuration.maximumSessionsPerClient = 2
                        } else {
                            configuration.maximumSessions = 2
                        }
                        configuration.retransmissionTimeout = .seconds(20)
                    } _: { bench in
                        let endpoint = bench.server.endpoint
                        try await bench.probe { first in
                            first.request("f")
                            let packet = try first.next()
                            let second = try TFTPProbe(endpoint)
                            second.request("f")
                            try require(try second.next().isData, "the second was refused")
                            let third = try TFTPProbe(endpoint)
                            third.request("f")
                            try require(try third.next().isError, "the third was let in")
                            first.acknowledge(1, to: packet.port)
                            first.acknowledge(try first.next().number, to: packet.port)
                        }
                        _ = try await bench.transfers { if case .completed = $0.stage { true } else { false } }
                        try await bench.probe { _ = try $0.read("f") }
                    }
                }
            },
            serving("no client gets more bytes per second than it may, whatever blocks it asks for") {
                store,
                directory in
                let content = ServerBench.content(3000)
                try await ServerBench.run(store, in: directory, ["f": content]) { configuration, _ in
                    configuration.bytesPerSecond = 2000
                } _: { bench in
                    let began = ContinuousClock.now
                    let got = try await bench.probe { try $0.read("f", [("blksize", "65464"), ("windowsize", "64")]) }
                    try require(got == content, "the content differs")
                    // A second's worth may come ahead of its time.
                    try require(began.duration(to: .now) >= .milliseconds(500), "it came faster")
                }
            },
            serving("64 clients are served side by side") { store, directory in
                let content = ServerBench.content(50_000)
                try await ServerBench.run(store, in: directory, ["f": content]) { bench in
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for number in 0..<64 {
                            group.addTask {
                                let got = try await bench.probe { try $0.read("f", [("blksize", "\(500 + number)")]) }
                                try require(got == content, "client \(number) got something else")
                            }
                        }
                        try await group.waitForAll()
                    }
                }
            },
            serving("a stopped server ends its transfers and its events, and gives its port back") { store, directory in
                try await ServerBench.run(store, in: directory, ["f": ServerBench.content(5000)]) { bench in
                    try await bench.probe { probe in
                        probe.request("f")
                        _ = try probe.next()
                    }
                    await bench.server.stop()
                    await bench.server.stop()
                    let events = try await bench.remainingTransfers()
                    guard case .failed = events.last?.stage else { throw ConformanceFailure("told was \(events)") }
                    var configuration = ArtifactServerConfiguration(
                        endpoint: bench.server.endpoint,
                        readRoot: bench.root
                    )
                    let again = try await store.serve(configuration)
                    let got = try await TFTPProbe.run(again.endpoint) { try $0.read("f") }
                    try require(got.count == 5000, "the second server served something else")
                    configuration.endpoint = again.endpoint
                    do {
                        await (try await store.serve(configuration)).stop()
                        throw ConformanceFailure("two servers have one port")
                    } catch let error as ArtifactStoreError {
                        try require(error.description.contains("\(again.endpoint)"), "the port isn't named: \(error)")
                    }
                    await again.stop()
                }
            },
            serving("a root that isn't there is an error that names it") { store, directory in
                let configuration = ArtifactServerConfiguration(
                    endpoint: ServerEndpoint(host: "127.0.0.1", port: 0),
                    readRoot: directory.appending("missing")
                )
                do {
                    await (try await store.serve(configuration)).stop()
                    throw ConformanceFailure("it is served")
                } catch let error as ArtifactStoreError {
                    try require(error.path == configuration.readRoot, "the error is about \(error.path)")
                }
            },
        ]
    }
}
