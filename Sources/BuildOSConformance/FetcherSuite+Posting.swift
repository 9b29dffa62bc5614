import BuildOSKit

extension FetcherSuite {
    /// What posting promises.
    var posting: [ConformanceCheck] {
        needing(
            "posts",
            capabilities.posts,
            [
                check("a body is posted with its type, from memory and from a file, and the answer is kept") { bench in
                    let bytes = PartialAnswer.content(1, 3_000_000)
                    let file = bench.directory.appending("body")
                    try FileTree.write(bytes, to: file)
                    for content in [FetchBody.Content.bytes(bytes), .file(file), .bytes([])] {
                        let echo = try await bench.posted("/echo", content)
                        let expected = content == .bytes([]) ? [] : bytes
                        try require(echo.method == "POST", "the method is \(echo.method)")
                        try require(echo.type == "text/manifest", "the type is '\(echo.type)'")
                        try require(echo.body == expected, "\(echo.body.count) bytes came, or others than were sent")
                    }
                },
                check("redirects of a posted request are followed with the same method and body") { bench in
                    for status in [301, 302, 303, 307, 308] {
                        let echo = try await bench.posted("/again/\(status)", .bytes(Array("once more".utf8)))
                        try require(echo.method == "POST", "after \(status) the method is \(echo.method)")
                        try require(echo.body == Array("once more".utf8), "after \(status) the body is another")
                    }
                },
                check("a posted request is neither conditional nor continued") { bench in
                    let validators = ResourceValidators(entityTag: "\"v1\"", lastModified: PartialAnswer.modified)
                    try FileTree.write("123", to: bench.destination)
                    let echo = try await bench.posted(
                        "/echo",
                        .bytes([]),
                        unlessMatching: validators,
                        continuing: PartialFetch(byteCount: 3, validators: validators)
                    )
                    try require(echo.conditions.isEmpty, "it was sent with \(echo.conditions)")
                },
                check("a posted request that is refused says the status, and leaves no file") { bench in
                    for status in [400, 401, 413, 500] {
                        try await bench.expectRefusal(
                            status,
                            of: bench.request("/status/\(status)", posting: .bytes([1]))
                        )
                    }
                },
                check("what is to be posted and isn't there is told") { bench in
                    let missing = bench.directory.appending("missing")
                    let error = try await bench.failure(of: bench.request("/echo", posting: .file(missing)))
                    try require(error.kind == .other, "expected other, got \(error.kind): \(error)")
                    try require(bench.server.requestCount == 0, "a request was sent all the same")
                },
                check("nothing is posted to a file") { bench in
                    guard capabilities.schemes.contains("file") else { return try passOver(notOffered: "file") }
                    var request = try bench.request("/echo", posting: .bytes([1]))
                    request.url = try ResourceURL("file://\(bench.directory)/posted")
                    let error = try await bench.failure(of: request)
                    try require(error.kind == .unsupportedScheme, "got \(error.kind): \(error)")
                    try require(!FileTree.exists(bench.directory.appending("posted")), "it was written")
                },
            ]
        )
    }
}

/// What the server's `/echo` told of a request.
struct EchoedRequest {
    let method: String
    let type: String
    let conditions: String
    let body: [UInt8]

    init(_ answer: [UInt8]) throws {
        let lines = answer.split(separator: UInt8(ascii: "\n"), maxSplits: 4, omittingEmptySubsequences: false)
        guard lines.count == 5 else { throw ConformanceFailure("the answer that was kept is not what the server sent") }
        let texts = lines.map { String(decoding: $0, as: UTF8.self) }
        (method, type, conditions, body) = (texts[0], texts[1], texts[2], Array(lines[4]))
    }
}

extension FetchBench {
    func request(_ path: String, posting content: FetchBody.Content? = nil) throws -> FetchRequest {
        FetchRequest(
            url: try server.url(path),
            destination: destination,
            limits: FetchLimits(totalTimeout: .seconds(60)),
            posting: content.map { FetchBody(contentType: "text/manifest", content: $0) }
        )
    }

    func posted(
        _ path: String,
        _ content: FetchBody.Content,
        unlessMatching validators: ResourceValidators = ResourceValidators(),
        continuing: PartialFetch? = nil
    ) async throws -> EchoedRequest {
        var request = try request(path, posting: content)
        request.unlessMatching = validators
        request.continuing = continuing
        guard case .fetched = try await fetcher.fetch(request) else {
            throw ConformanceFailure("'not modified' was the answer to a posted request")
        }
        return try EchoedRequest(FileTree.read(destination, limit: 1 << 24))
    }

    /// The error of a request that must fail; its destination must be gone unless the error says otherwise.
    func failure(of request: FetchRequest) async throws -> FetchError {
        do {
            let outcome = try await fetcher.fetch(request)
            throw ConformanceFailure("\(request.url) gave \(outcome)")
        } catch let error as FetchError {
            let isLeft = FileTree.exists(request.destination)
            try require(isLeft == (error.partial != nil), "the file was left, or is gone, against what the error says")
            return error
        }
    }

    func expectRefusal(_ status: Int, of request: FetchRequest) async throws {
        let error = try await failure(of: request)
        try require(error.httpStatus == status, "the status in the error is \(String(describing: error.httpStatus))")
        let kind: FetchError.Kind = status == 404 || status == 410 ? .notFound : .refused
        try require(error.kind == kind, "expected \(kind), got \(error.kind): \(error)")
    }
}
