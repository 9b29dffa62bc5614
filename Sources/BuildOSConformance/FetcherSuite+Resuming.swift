import BuildOSKit

extension FetcherSuite {
    /// What going on with a broken transfer promises.
    var resuming: [ConformanceCheck] {
        needing(
            "resumable",
            capabilities.resumable,
            [
                check("what a broken transfer has left is gone on with, and only the rest is sent") { bench in
                    let partial = try await bench.partial("cut", Self.size)
                    try require(partial.validators.entityTag == "\"v1\"", "the version is \(partial.validators)")
                    let sent = bench.server.partByteCount
                    let file = try await bench.continued("whole", Self.size, partial)
                    let rest = bench.server.partByteCount - sent
                    try require(rest == Self.size - Int(partial.byteCount), "\(rest) bytes were sent for the rest")
                    try require(file.validators.entityTag == "\"v1\"", "the version is then \(file.validators)")
                    try await bench.requirePart(file, version: 1, Self.size)
                },
                check("a transfer can break off, and be gone on with, twice") { bench in
                    let first = try await bench.partial("cut", Self.size)
                    let second = try await bench.partial("cut-again", Self.size, continuing: first)
                    try require(
                        second.byteCount > first.byteCount,
                        "\(second.byteCount) bytes after \(first.byteCount)"
                    )
                    try await bench.requirePart(bench.continued("whole", Self.size, second), version: 1, Self.size)
                },
                check("a date serves where there is no entity tag") { bench in
                    let partial = try await bench.partial("cut-dated", Self.size)
                    try require(partial.validators.lastModified != nil, "the version is \(partial.validators)")
                    let sent = bench.server.partByteCount
                    let file = try await bench.continued("whole", Self.size, partial)
                    try require(bench.server.partByteCount - sent < Self.size, "the whole was sent again")
                    try await bench.requirePart(file, version: 1, Self.size)
                },
                check("what may be of another version is fetched anew, whatever the server does") { bench in
                    for (mode, version) in [
                        ("changed", 2), ("blind", 2), ("shifted", 1), ("short", 1), ("rangeless", 1),
                        ("unsatisfied", 1),
                    ] {
                        let partial = try await bench.partial("cut", Self.size)
                        let file = try await bench.continued(mode, Self.size, partial)
                        try await bench.requirePart(
                            file,
                            version: version,
                            Self.size,
                            "with a server that is '\(mode)'"
                        )
                    }
                },
                check("without a strong validator nothing is left to go on with") { bench in
                    for mode in ["cut-weak", "cut-bare"] {
                        var request = try bench.request("/part/\(mode)/\(Self.size)")
                        request.keepsPartial = true
                        let error = try await bench.failure(of: request)
                        try require(error.partial == nil, "'\(mode)' left \(String(describing: error.partial))")
                    }
                },
                check("unless it is asked for, nothing is left to go on with") { bench in
                    let error = try await bench.failure(of: bench.request("/part/cut/\(Self.size)"))
                    try require(error.partial == nil, "it left \(String(describing: error.partial))")
                },
                check("what isn't there, or is shorter than was said, is fetched anew; what is longer is cut") {
                    bench in
                    let partial = try await bench.partial("cut", Self.size)
                    let content = try FileTree.read(bench.destination, limit: 1 << 24)
                    for length in [0, content.count / 2, content.count + 1000] {
                        let filler = [UInt8](repeating: 0, count: max(0, length - content.count))
                        try FileTree.write(content.prefix(length) + filler, to: bench.destination)
                        let file = try await bench.continued("whole", Self.size, partial)
                        try await bench.requirePart(file, version: 1, Self.size, "with \(length) bytes there")
                    }
                    try FileTree.remove(bench.destination)
                    try await bench.requirePart(bench.continued("whole", Self.size, partial), version: 1, Self.size)
                },
                check("where the server can't be reached, what is there stays to be gone on with") { bench in
                    let partial = try await bench.partial("cut", Self.size)
                    var request = try bench.request("/x")
                    request.url = try ResourceURL("http://127.0.0.1:\(MisbehavingServer.unusedPort())/x")
                    (request.keepsPartial, request.continuing) = (true, partial)
                    let error = try await bench.failure(of: request)
                    try require(error.kind == .unreachable, "got \(error)")
                    try require(error.partial == partial, "what is there is then \(String(describing: error.partial))")
                    try await bench.requirePart(bench.continued("whole", Self.size, partial), version: 1, Self.size)
                },
                check("the limit of bytes counts what is there already") { bench in
                    let partial = try await bench.partial("cut", Self.size)
                    var request = try bench.request("/part/whole/\(Self.size)")
                    (request.keepsPartial, request.continuing) = (true, partial)
                    request.limits.maximumBytes = Int64(Self.size) - 1
                    let error = try await bench.failure(of: request)
                    try require(error.kind == .tooLarge && error.partial == nil, "got \(error)")
                },
            ]
        )
    }

    private static let size = 300_000
}

extension FetchBench {
    /// Has a transfer broken off, and checks what is left.
    func partial(_ mode: String, _ size: Int, continuing: PartialFetch? = nil) async throws -> PartialFetch {
        var request = try request("/part/\(mode)/\(size)")
        (request.keepsPartial, request.continuing) = (true, continuing)
        let error = try await failure(of: request)
        try require(error.kind == .unreachable, "expected unreachable, got \(error)")
        guard let partial = error.partial else { throw ConformanceFailure("nothing is left to go on with: \(error)") }
        let left = try FileTree.read(destination, limit: 1 << 24)
        try require(Int64(left.count) == partial.byteCount, "\(left.count) bytes are left, not \(partial.byteCount)")
        try require(left.elementsEqual(PartialAnswer.content(1, left.count)), "what is left is not what was sent")
        return partial
    }

    /// Goes on behind what is there.
    func continued(_ mode: String, _ size: Int, _ partial: PartialFetch) async throws -> FetchedFile {
        var request = try request("/part/\(mode)/\(size)")
        (request.continuing, request.digestAlgorithm) = (partial, fetcher.capabilities.digests.first)
        guard case .fetched(let file) = try await fetcher.fetch(request) else {
            throw ConformanceFailure("'not modified' was the answer to a request for the rest")
        }
        return file
    }

    /// Checks a file that was put together from parts, and its digest, against one that came in one piece.
    func requirePart(_ file: FetchedFile, version: Int, _ size: Int, _ context: String = "") async throws {
        let bytes = try FileTree.read(destination, limit: 1 << 24)
        try require(bytes.count == size, "the file has \(bytes.count) bytes, not \(size) \(context)")
        let expected = PartialAnswer.content(version, size)
        try require(bytes == expected, "the file is a mixture, or of another version \(context)")
        try require(file.byteCount == Int64(size), "it says \(file.byteCount) bytes \(context)")
        let whole = try await fetch(
            server.url("/part/\(version == 1 ? "whole" : "changed")/\(size)"),
            to: directory.appending("whole"),
            fetcher.capabilities.digests.first
        )
        guard case .fetched(let whole) = whole else { throw ConformanceFailure("'not modified'") }
        try require(file.digest == whole.digest, "the digest is not that of the whole \(context)")
    }
}
