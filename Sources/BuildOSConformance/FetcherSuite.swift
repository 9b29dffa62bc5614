import BuildOSKit
import Synchronization

/// What every ``Fetcher`` must do. Needs no network: it brings a web server of its own, which also misbehaves.
public struct FetcherSuite: Sendable {
    let fetcher: any Fetcher
    /// Makes further ones with options of their own.
    let provider: (any FetcherProvider)?
    /// Runs openssl(1).
    let transport: (any Transport)?
    var capabilities: FetcherCapabilities { fetcher.capabilities }

    /// Creates a suite for one fetcher, without the checks of ``BuildOSKit/FetcherOptions``.
    public init(_ fetcher: any Fetcher) {
        self.fetcher = fetcher
        provider = nil
        transport = nil
    }

    /// Creates a suite for one implementation.
    ///
    /// - Parameter transport: runs openssl(1) on this machine, which the checks of https need.
    /// - Throws: what the provider does when it makes a fetcher.
    public init(_ provider: any FetcherProvider, transport: (any Transport)? = nil) throws {
        fetcher = try provider.makeFetcher()
        self.provider = provider
        self.transport = transport
    }

    /// The checks, in the order in which they are best run.
    public var checks: [ConformanceCheck] { bodies + refusals + limits + files + posting + resuming + options + secure }

    private var bodies: [ConformanceCheck] {
        [
            check("a body is written whole and digested on the way, with every algorithm offered") { bench in
                for algorithm in fetcher.capabilities.digests {
                    let file = try await bench.fetched("/a/1000000", algorithm)
                    try require(file.byteCount == 1_000_000, "\(file.byteCount) bytes of 1,000,000")
                    let expected = Self.millionLetters[algorithm]
                    try require(
                        file.digest?.hexadecimal == expected,
                        "\(algorithm.rawValue) is \(file.digest?.hexadecimal ?? "missing"), not \(expected ?? "")"
                    )
                    try bench.requireContent(letters: 1_000_000)
                }
            },
            check("without an algorithm there is no digest; without a length the body is whole") { bench in
                let file = try await bench.fetched("/unsized/300000")
                try require(file.digest == nil && file.byteCount == 300_000, "got \(file)")
                try bench.requireContent(letters: 300_000)
            },
            check("an empty body makes an empty file") { bench in
                _ = try await bench.fetched("/a/0")
                try bench.requireContent(letters: 0)
            },
            check("a longer file that was there is replaced") { bench in
                try FileTree.write(String(repeating: "old", count: 1000), to: bench.destination)
                _ = try await bench.fetched("/a/10")
                try bench.requireContent(letters: 10)
            },
            check("sixteen fetches run side by side") { bench in
                try await withThrowingTaskGroup(of: Int64.self) { group in
                    for number in 0..<16 {
                        group.addTask {
                            try await bench.fetched("/barrier/16", to: bench.directory.appending("\(number)")).byteCount
                        }
                    }
                    for try await count in group { try require(count == 1000, "\(count) bytes of 1000") }
                }
            },
            check("redirects are followed") { bench in
                _ = try await bench.fetched("/moved/3")
                try bench.requireContent(letters: 3)
            },
            check("progress ends with the whole body") { bench in
                let seen = Mutex<[FetchProgress]>([])
                let request = FetchRequest(url: try bench.server.url("/a/2000000"), destination: bench.destination)
                _ = try await fetcher.fetch(request) { progress in seen.withLock { $0.append(progress) } }
                let reports = seen.withLock { $0 }
                try require(
                    reports.last?.received == 2_000_000,
                    "the last report is \(String(describing: reports.last))"
                )
                try require(reports.map(\.received) == reports.map(\.received).sorted(), "progress went back")
            },
            check("a conditional request is answered 'not modified', and writes nothing") { bench in
                guard capabilities.conditional else { return try passOver(notOffered: "conditional") }
                let validators = try await bench.fetched("/versioned").validators
                try require(validators.entityTag == MisbehavingServer.entityTag, "the ETag is \(validators)")
                try require(validators.lastModified == MisbehavingServer.lastModified, "the date is \(validators)")
                for shown in [
                    validators, ResourceValidators(entityTag: validators.entityTag),
                    ResourceValidators(lastModified: validators.lastModified),
                ] {
                    let destination = bench.directory.appending("untouched")
                    let outcome = try await bench.fetch("/versioned", to: destination, unlessMatching: shown)
                    try require(outcome == .notModified, "got \(outcome)")
                    try require(!FileTree.exists(destination), "a file was written")
                }
                let changed = ResourceValidators(entityTag: "\"v0\"")
                guard case .fetched = try await bench.fetch("/versioned", unlessMatching: changed) else {
                    throw ConformanceFailure("another version was taken for the same")
                }
            },
        ]
    }

    private var refusals: [ConformanceCheck] {
        [
            check("HTTP status 404 and 410 are 'not found', others 'refused', and in the error; no file is left") {
                bench in
                for (status, kind) in [
                    (404, FetchError.Kind.notFound), (410, .notFound), (403, .refused), (500, .refused),
                ] {
                    try await bench.expect(kind, "/status/\(status)", words: "\(status)")
                    try await bench.expectRefusal(status, of: bench.request("/status/\(status)"))
                }
            },
            check("a server that isn't there is 'unreachable'") { bench in
                let url = try ResourceURL("http://127.0.0.1:\(MisbehavingServer.unusedPort())/x")
                try await bench.expect(.unreachable, url)
                try await bench.expect(.unreachable, ResourceURL("http://no-such-host.invalid/x"))
            },
            check("a redirect loop ends, and is told as that") { bench in
                try await bench.expect(.redirects, "/loop", words: "redirects")
                try require(bench.server.requestCount <= 12, "\(bench.server.requestCount) requests")
            },
            check("a redirect to this host's own files is refused") { bench in
                try await bench.expect(.redirects, "/to-file")
            },
            check("a body that is cut short is 'unreachable', and not left as if it were whole") { bench in
                try await bench.expect(.unreachable, "/cut")
            },
            check("where a fetch fails, the file that was there before is gone too") { bench in
                try FileTree.write("old", to: bench.destination)
                try await bench.expect(.notFound, "/status/404")
            },
        ]
    }

    private var limits: [ConformanceCheck] {
        [
            check("a server that stalls is given up") { bench in
                try await bench.expect(.timedOut, "/stall", FetchLimits(lowSpeedTime: .seconds(1)))
            },
            check("a server that never answers is given up") { bench in
                try await bench.expect(.timedOut, "/silent", FetchLimits(totalTimeout: .seconds(1)))
            },
            check("a body over the limit is refused, whether its length was told or not") { bench in
                let limits = FetchLimits(maximumBytes: 100_000)
                try await bench.expect(.tooLarge, "/a/100001", limits, words: "100000")
                try await bench.expect(.tooLarge, "/endless", limits, words: "100000")
                _ = try await bench.fetched("/a/100000", limits: limits)
            },
            check("a status counts more than the size of the page that comes with it") { bench in
                try await bench.expect(.notFound, "/status/404", FetchLimits(maximumBytes: 1))
            },
            check("a header without end is refused") { bench in
                do {
                    _ = try await bench.fetch("/endless-header", limits: FetchLimits(totalTimeout: .seconds(30)))
                    throw ConformanceFailure("it ended well")
                } catch let error as FetchError {
                    try require(error.kind != .timedOut, "it took until the time limit: \(error)")
                }
            },
            check("cancelling ends a fetch that runs, and one that has yet to start") { bench in
                let running = Task { try await bench.fetch("/silent") }
                while bench.server.requestCount == 0 { await Task.yield() }
                running.cancel()
                try bench.requireCancelled(await running.result)
                let before = Task {
                    while !Task.isCancelled { await Task.yield() }
                    return try await bench.fetch("/silent")
                }
                before.cancel()
                try bench.requireCancelled(await before.result)
            },
        ]
    }

    private var files: [ConformanceCheck] {
        [
            check("a destination that can't be written is told, and nothing else is touched") { bench in
                let missing = bench.directory.appending("missing").appending("file")
                try await bench.expect(.cannotWrite, bench.server.url("/a/10"), to: missing)
                let precious = bench.directory.appending("precious")
                try FileTree.write("precious", to: precious)
                let link = bench.directory.appending("link")
                try bench.makeLink(link, to: precious)
                try await bench.expect(.cannotWrite, bench.server.url("/a/10"), to: link, isLeft: true)
                try require(try FileTree.readText(precious) == "precious", "what a link led to was overwritten")
            },
            check("a file URL is read, with what stands escaped in it; a missing one is 'not found'") { bench in
                guard capabilities.schemes.contains("file") else { return try passOver(notOffered: "file") }
                try FileTree.write(String(repeating: "a", count: 500_000), to: bench.directory.appending("a b%c"))
                _ = try await bench.fetched(ResourceURL("file://\(bench.directory)/a%20b%25c"))
                try bench.requireContent(letters: 500_000)
                try await bench.expect(.notFound, ResourceURL("file://\(bench.directory)/missing"))
            },
            check("it says which schemes it speaks, and speaks http") { _ in
                try require(fetcher.capabilities.schemes.contains("http"), "\(fetcher.capabilities.schemes)")
            },
        ]
    }

    /// Checks that are passed over unless the fetcher offers a capability.
    func needing(_ capability: String, _ isOffered: Bool, _ checks: [ConformanceCheck]) -> [ConformanceCheck] {
        if isOffered { return checks }
        return checks.map { ConformanceCheck($0.name) { try passOver(notOffered: capability) } }
    }

    func check(
        _ name: String,
        _ body: @escaping @Sendable (FetchBench) async throws -> Void
    ) -> ConformanceCheck {
        ConformanceCheck(name) {
            try await withScratchDirectory { directory in
                let server = try MisbehavingServer()
                defer { server.stop() }
                try await body(FetchBench(fetcher: fetcher, server: server, directory: directory))
            }
        }
    }

    /// Digests of a million times the letter a (FIPS 180-2, appendices).
    private static let millionLetters: [DigestAlgorithm: String] = [
        .sha1: "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
        .sha224: "20794655980c91d8bbb4c1ea97618a4bf03f42581948b2ee4ee7ad67",
        .sha256: "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
        .sha384: "9d0e1809716474cb086e834e310a4a1ced149e9c00f248527972cec5704c2a5b"
            + "07b8b3dc38ecc4ebae97ddd87f3d8985",
        .sha512: "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb"
            + "de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b",
    ]
}
