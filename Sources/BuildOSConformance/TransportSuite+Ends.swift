import BuildOSKit

extension TransportSuite {
    /// How commands end before their time.
    var endChecks: [ConformanceCheck] {
        [
            ConformanceCheck("too much output ends the command and its children, on either stream") {
                let marker = Marker()
                for redirection in ["", ">&2"] {
                    do {
                        _ = try await transport.run(
                            Command("bash", ["-c", "\(marker.sleep) & yes \(redirection)"]),
                            input: .none,
                            output: .collected(limit: 10_000),
                            error: .collected(limit: 10_000),
                            timeLimit: .seconds(60)
                        )
                        throw ConformanceFailure("10,000 bytes of 'yes' were enough for ever")
                    } catch let error as TransportError {
                        try require(error.kind == .tooMuchOutput(limit: 10_000), "got \(error)")
                    }
                    try await requireGone(marker)
                }
            },
            ConformanceCheck("at the time limit a command ends with its children, even those that ignore SIGTERM") {
                let marker = Marker()
                let script = "trap '' TERM; \(marker.sleep) & (set -m; \(marker.sleep) &) ; wait"
                do {
                    _ = try await transport.run(
                        Command("bash", ["-c", script]),
                        input: .none,
                        output: .collected(limit: 1000),
                        error: .discarded,
                        timeLimit: .milliseconds(500)
                    )
                    throw ConformanceFailure("it ended by itself")
                } catch let error as TransportError {
                    try require(error.kind == .timedOut(.milliseconds(500)), "got \(error)")
                }
                try await requireGone(marker)
            },
            ConformanceCheck("a command that ends itself well when its time is over was too slow all the same") {
                let marker = Marker()
                do {
                    let result = try await transport.run(
                        Command("bash", ["-c", "trap 'exit 0' TERM; \(marker.sleep) & wait"]),
                        input: .none,
                        output: .collected(limit: 1000),
                        error: .discarded,
                        timeLimit: .milliseconds(500)
                    )
                    throw ConformanceFailure("its end was \(result.status)")
                } catch let error as TransportError {
                    try require(error.kind == .timedOut(.milliseconds(500)), "got \(error)")
                }
                try await requireGone(marker)
            },
            ConformanceCheck("a time limit that is not reached changes nothing") {
                let result = try await transport.run(
                    Command("sh", ["-c", "echo well; exit 4"]),
                    input: .none,
                    output: .collected(limit: 1000),
                    error: .discarded,
                    timeLimit: .seconds(600)
                )
                try require(result.status == .exited(4) && result.outputText == "well\n", "got \(result)")
            },
            ConformanceCheck("cancelling ends the command and its children") {
                let marker = Marker()
                let (started, start) = AsyncStream.makeStream(of: Void.self)
                let task = Task {
                    try await transport.run(
                        Command("bash", ["-c", "\(marker.sleep) & echo up; wait"]),
                        input: .none,
                        output: .lines { _ in start.finish() },
                        error: .discarded,
                        timeLimit: nil
                    )
                }
                for await _ in started {}
                task.cancel()
                switch await task.result {
                case .success(let result): throw ConformanceFailure("it ended by itself with \(result.status)")
                case .failure(let error as TransportError): try require(error.kind == .cancelled, "got \(error)")
                case .failure(let error): throw error
                }
                try await requireGone(marker)
            },
            ConformanceCheck("cancelling many commands at once ends them all") {
                let markers = (0..<8).map { _ in Marker() }
                let (started, start) = AsyncStream.makeStream(of: Void.self)
                let tasks = markers.map { marker in
                    Task {
                        try await transport.run(
                            Command("bash", ["-c", "\(marker.sleep) & echo up; wait"]),
                            input: .none,
                            output: .lines { _ in start.yield() },
                            error: .discarded,
                            timeLimit: nil
                        )
                    }
                }
                var count = 0
                for await _ in started {
                    count += 1
                    if count == tasks.count { break }
                }
                for task in tasks { task.cancel() }
                for task in tasks {
                    if case .success(let result) = await task.result {
                        throw ConformanceFailure("one ended by itself with \(result.status)")
                    }
                }
                for marker in markers { try await requireGone(marker) }
            },
            ConformanceCheck("a command of a task that is cancelled already ends") {
                let task = Task {
                    try await transport.run(
                        Command("sleep", ["3600"]),
                        input: .none,
                        output: .discarded,
                        error: .discarded,
                        timeLimit: nil
                    )
                }
                task.cancel()
                let outcome = await task.result
                if case .success(let result) = outcome { try require(!result.status.isSuccess, "it ended well") }
            },
            ConformanceCheck("many commands run side by side") {
                try await withThrowingTaskGroup(of: String.self) { group in
                    for number in 0..<32 { group.addTask { try await run(["-c", "echo \(number)"]).outputText } }
                    var seen: Set<String> = []
                    for try await text in group { seen.insert(text) }
                    try require(seen.count == 32, "\(seen.count) of 32 answered")
                }
            },
            ConformanceCheck("closing can be repeated") {
                try await transport.check(Command("true"))
                await transport.close()
                await transport.close()
            },
        ]
    }

    /// A process that can be found by its arguments, and by nothing else.
    private struct Marker {
        let seconds = "31\(UInt32.random(in: 1_000_000...9_999_999))"
        var sleep: String { "sleep \(seconds)" }
    }

    private func requireGone(_ marker: Marker) async throws {
        let left = try await transport.run(
            Command("pgrep", ["-f", "^\(marker.sleep)"]),
            input: .none,
            output: .collected(limit: 1000),
            error: .discarded,
            timeLimit: .seconds(60)
        )
        try require(left.output.isEmpty, "children are left: \(left.outputText)")
    }
}
