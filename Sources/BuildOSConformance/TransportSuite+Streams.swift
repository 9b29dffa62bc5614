import BuildOSKit
import Glibc

extension TransportSuite {
    /// What goes in and what comes out.
    var streamChecks: [ConformanceCheck] {
        [
            ConformanceCheck("standard input is passed on and ends") {
                let bytes = Self.noise(300_000)
                let result = try await transport.check(Command("cat"), input: .bytes(bytes))
                try require(result.output == bytes, "cat gave back \(result.output.count) of \(bytes.count) bytes")
            },
            ConformanceCheck("no input is an input that ends at once") {
                let result = try await transport.check(Command("cat"), timeLimit: .seconds(60))
                try require(result.output.isEmpty, "got \(result.outputText)")
            },
            ConformanceCheck("a file is read as input, and its absence told") {
                try await withScratchDirectory { directory in
                    let bytes = Self.noise(5_000_000)
                    try FileTree.write(bytes, to: directory.appending("input"))
                    let result = try await transport.run(
                        Command("cat"),
                        input: .file(directory.appending("input")),
                        output: .collected(limit: bytes.count),
                        error: .discarded,
                        timeLimit: .seconds(60)
                    )
                    try require(result.output == bytes, "cat gave back \(result.output.count) of \(bytes.count) bytes")
                }
                do {
                    try await transport.check(Command("cat"), input: .file("/no/such/file"))
                    throw ConformanceFailure("a file that isn't there was read")
                } catch let error as TransportError {
                    try require(error.kind == .inputOutput, "got \(error)")
                }
            },
            ConformanceCheck("a pipe is read to its end, and the caller's end stays open") {
                let bytes = Self.noise(3_000_000)
                let pipe = try FileDescriptor.pipe()
                let inode = Self.inode(of: pipe.readEnd)
                async let written: Void = DedicatedThread.run(name: "pipe-writer") {
                    defer { try? pipe.writeEnd.close() }
                    for start in stride(from: 0, to: bytes.count, by: 70_001) {
                        _ = try? pipe.writeEnd.writeAll(bytes[start..<min(start + 70_001, bytes.count)])
                    }
                }
                let result = try await transport.run(
                    Command("cat"),
                    input: .descriptor(pipe.readEnd),
                    output: .collected(limit: bytes.count),
                    error: .discarded,
                    timeLimit: .seconds(60)
                )
                await written
                try require(result.output == bytes, "cat gave back \(result.output.count) of \(bytes.count) bytes")
                // Its number alone proves nothing: something else may have it by now.
                try require(Self.inode(of: pipe.readEnd) == inode, "the caller's descriptor was closed")
                try pipe.readEnd.close()
            },
            ConformanceCheck("a command that doesn't read its input does not hurt") {
                let result = try await transport.run(
                    Command("true"),
                    input: .bytes([UInt8](repeating: 1, count: 4 << 20)),
                    output: .discarded,
                    error: .discarded,
                    timeLimit: .seconds(60)
                )
                try require(result.status.isSuccess, "true ended with \(result.status)")
            },
            ConformanceCheck("both outputs are collected, apart") {
                let result = try await run(["-c", "echo out; echo err >&2"])
                try require(result.outputText == "out\n" && result.errorText == "err\n", "got \(result)")
            },
            ConformanceCheck("both outputs are taken while the other one is long") {
                let script = "head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero; head -c 1000 /dev/zero >&2"
                let result = try await run(["-c", script])
                try require(
                    result.output.count == 1_000_000 && result.error.count == 1_001_000,
                    "got \(result.output.count) and \(result.error.count) bytes"
                )
            },
            ConformanceCheck("output is whole in a pipe that is read slowly, and ends when the caller closes it") {
                let bytes = Self.noise(3_000_000)
                let pipe = try FileDescriptor.pipe()
                async let read = DedicatedThread.run(name: "pipe-reader") { Self.readAll(pipe.readEnd, by: 777) }
                let result = try await transport.run(
                    Command("cat"),
                    input: .bytes(bytes),
                    output: .descriptor(pipe.writeEnd),
                    error: .discarded,
                    timeLimit: .seconds(60)
                )
                try pipe.writeEnd.close()
                let arrived = await read
                try require(result.status.isSuccess, "cat ended with \(result.status)")
                try require(arrived == bytes, "\(arrived.count) of \(bytes.count) bytes arrived")
            },
            ConformanceCheck("output that nobody reads any more ends the command") {
                let pipe = try FileDescriptor.pipe()
                try pipe.readEnd.close()
                defer { try? pipe.writeEnd.close() }
                do {
                    let result = try await transport.run(
                        Command("yes"),
                        input: .none,
                        output: .descriptor(pipe.writeEnd),
                        error: .discarded,
                        timeLimit: .seconds(60)
                    )
                    try require(!result.status.isSuccess, "it ended well")
                } catch let error as TransportError {
                    try require(error.kind == .inputOutput, "got \(error)")
                }
            },
            ConformanceCheck("appended output goes to the end of a file, which is made") {
                try await withScratchDirectory { directory in
                    let file = directory.appending("log")
                    for word in ["one", "two"] {
                        _ = try await transport.run(
                            Command("sh", ["-c", "echo \(word); echo \(word) >&2"]),
                            input: .none,
                            output: .appended(to: file),
                            error: .appended(to: file),
                            timeLimit: .seconds(60)
                        )
                    }
                    let lines = try FileTree.readText(file).split(separator: "\n").sorted()
                    try require(lines == ["one", "one", "two", "two"], "the file holds \(lines)")
                }
            },
            ConformanceCheck("lines come one by one, the last one without a newline too") {
                let lines = try await self.lines(of: Command("printf", ["one\\ntwo\\r\\n\\nlast"]))
                try require(lines == ["one", "two", "", "last"], "got \(lines)")
            },
            ConformanceCheck("long lines are cut at 64 KiB, bytes that are not UTF-8 repaired") {
                let lines = try await self.lines(
                    of: Command("sh", ["-c", "printf '\\377x\\n'; head -c 70000 /dev/zero"])
                )
                try require(lines.first == "\u{fffd}x", "got \(lines.first ?? "nothing")")
                try require(lines.dropFirst().map(\.utf8.count) == [65_536, 70_000 - 65_536], "cut otherwise")
            },
        ]
    }

    private func lines(of command: Command) async throws -> [String] {
        let lines = LineCollector()
        _ = try await transport.run(
            command,
            input: .none,
            output: .lines { lines.append($0) },
            error: .discarded,
            timeLimit: .seconds(60)
        )
        return lines.all
    }

    /// Bytes without a pattern that a chunk's size could hide in.
    static func noise(_ count: Int) -> [UInt8] {
        var state: UInt32 = 1
        return (0..<count).map { _ in
            state = state &* 1_664_525 &+ 1_013_904_223
            return UInt8(truncatingIfNeeded: state >> 24)
        }
    }

    private static func inode(of descriptor: FileDescriptor) -> ino_t? {
        var status = stat()
        return fstat(descriptor.rawValue, &status) == 0 ? status.st_ino : nil
    }

    static func readAll(_ descriptor: FileDescriptor, by portion: Int) -> [UInt8] {
        defer { try? descriptor.close() }
        var all: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: portion)
        while let count = try? chunk.withUnsafeMutableBytes({ try descriptor.read(into: $0) }), count > 0 {
            all += chunk.prefix(count)
        }
        return all
    }
}
