import BuildOSKit
import CurlFetcher
import Testing

/// A fake on purpose: curl's fetcher with one fault built in, which the suite must find.
struct BrokenFetcher: CustomTestStringConvertible {
    /// What it does wrong.
    let fault: String
    /// Words of the name of the check that must fail.
    let caughtBy: String
    let provider: any FetcherProvider

    var testDescription: String { fault }

    init(_ fault: String, caughtBy: String, _ fetch: @escaping FaultyFetch.Body) {
        self.fault = fault
        self.caughtBy = caughtBy
        provider = FaultyProvider(heedsOptions: true, body: fetch)
    }

    /// A fetcher that is made without the options.
    init(heedsNoOptions fault: String, caughtBy: String) {
        self.fault = fault
        self.caughtBy = caughtBy
        provider = FaultyProvider(heedsOptions: false) { try await $0.fetch($1, progress: $2) }
    }

    static func all() throws -> [BrokenFetcher] { requests + results }

    private static let requests = [
        BrokenFetcher("forgets conditions", caughtBy: "a conditional request") { fetcher, request, progress in
            var request = request
            request.unlessMatching = ResourceValidators()
            return try await fetcher.fetch(request, progress: progress)
        },
        BrokenFetcher("gets where it should post", caughtBy: "a body is posted with its type") {
            fetcher,
            request,
            progress in
            var request = request
            request.posting = nil
            return try await fetcher.fetch(request, progress: progress)
        },
        BrokenFetcher("makes posted requests conditional", caughtBy: "neither conditional nor continued") {
            fetcher,
            request,
            progress in
            var request = request
            if request.posting != nil, !request.unlessMatching.isEmpty { request.posting = nil }
            return try await fetcher.fetch(request, progress: progress)
        },
        BrokenFetcher("knows no limit of bytes", caughtBy: "a body over the limit") { fetcher, request, progress in
            var request = request
            request.limits.maximumBytes = 1 << 24
            return try await fetcher.fetch(request, progress: progress)
        },
        BrokenFetcher("always begins anew", caughtBy: "only the rest is sent") { fetcher, request, progress in
            var request = request
            request.continuing = nil
            return try await fetcher.fetch(request, progress: progress)
        },
        BrokenFetcher("pays no heed to the version when it goes on", caughtBy: "may be of another version") {
            fetcher,
            request,
            progress in
            guard let partial = request.continuing else { return try await fetcher.fetch(request, progress: progress) }
            let there = try FileTree.read(request.destination, limit: 1 << 24)
            var request = request
            request.continuing = nil
            let outcome = try await fetcher.fetch(request, progress: progress)
            let rest = try FileTree.read(request.destination, limit: 1 << 24).dropFirst(Int(partial.byteCount))
            try FileTree.write(there + rest, to: request.destination)
            return outcome
        },
        BrokenFetcher("can't be cancelled", caughtBy: "cancelling ends a fetch") { fetcher, request, progress in
            var request = request
            request.limits.totalTimeout = .seconds(2)
            return try await Task.detached { [request] in try await fetcher.fetch(request, progress: progress) }.value
        },
        BrokenFetcher(heedsNoOptions: "knows no bound of transfers", caughtBy: "no more transfers run at once"),
        BrokenFetcher(heedsNoOptions: "knows no proxy", caughtBy: "asked for every host"),
        BrokenFetcher(
            heedsNoOptions: "trusts only the system's certificates",
            caughtBy: "in the bundle of the options"
        ),
    ]

    private static let results = [
        BrokenFetcher("digests what is new alone", caughtBy: "only the rest is sent") { fetcher, request, progress in
            guard request.continuing != nil else { return try await fetcher.fetch(request, progress: progress) }
            guard case .fetched(let file) = try await fetcher.fetch(request, progress: progress) else {
                return .notModified
            }
            let other = request.digestAlgorithm.flatMap {
                Digest($0, bytes: [UInt8](repeating: 0, count: $0.byteCount))
            }
            return .fetched(FetchedFile(byteCount: file.byteCount, digest: other, validators: file.validators))
        },
        BrokenFetcher("says no status", caughtBy: "HTTP status 404 and 410") { fetcher, request, progress in
            do { return try await fetcher.fetch(request, progress: progress) } catch let error as FetchError {
                throw FetchError(error.kind, url: error.url, detail: error.detail, partial: error.partial)
            }
        },
        BrokenFetcher("leaves what came of a broken transfer", caughtBy: "a body that is cut short") {
            fetcher,
            request,
            progress in
            do { return try await fetcher.fetch(request, progress: progress) } catch let error as FetchError {
                try? FileTree.write("some", to: request.destination)
                throw error
            }
        },
        BrokenFetcher("says that weak validators will do", caughtBy: "without a strong validator") {
            fetcher,
            request,
            progress in
            do { return try await fetcher.fetch(request, progress: progress) } catch let error as FetchError {
                guard request.keepsPartial else { throw error }
                try? FileTree.write("some", to: request.destination)
                let partial = PartialFetch(byteCount: 4, validators: ResourceValidators(entityTag: "W/\"v1\""))
                throw FetchError(error.kind, url: error.url, detail: error.detail, partial: partial)
            }
        },
        BrokenFetcher("says nothing of the last bytes", caughtBy: "progress ends with the whole body") {
            fetcher,
            request,
            progress in
            try await fetcher.fetch(request) { report in
                if report.received != report.expected { progress?(report) }
            }
        },
    ]
}

/// A fetcher with a fault.
struct FaultyFetch: Fetcher {
    typealias Progress = @Sendable (FetchProgress) -> Void
    typealias Body = @Sendable (any Fetcher, FetchRequest, Progress?) async throws -> FetchOutcome

    let sound: any Fetcher
    let body: Body
    let backendName = "faulty"
    var capabilities: FetcherCapabilities { sound.capabilities }

    func fetch(_ request: FetchRequest, progress: Progress?) async throws(FetchError) -> FetchOutcome {
        do {
            return try await body(sound, request, progress)
        } catch {
            throw error as? FetchError ?? FetchError(.other, url: request.url, detail: "\(error)")
        }
    }
}

private struct FaultyProvider: FetcherProvider {
    let heedsOptions: Bool
    let body: FaultyFetch.Body
    let identity = BackendIdentity(name: "faulty", interface: .fetcher, summary: "a fetcher with a fault, for tests")
    var capabilities: FetcherCapabilities { CurlFetcherProvider().capabilities }
    func preflight() async -> [PreflightFinding] { [] }

    func makeFetcher(_ options: FetcherOptions) throws -> any Fetcher {
        FaultyFetch(sound: try CurlFetcher(heedsOptions ? options : FetcherOptions()), body: body)
    }
}
