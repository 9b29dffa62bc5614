import BuildOSKit
import Glibc

/// A fetcher, a server and a directory, and what checks say of them.
struct FetchBench: Sendable {
    let fetcher: any Fetcher
    let server: MisbehavingServer
    let directory: FilePath

    var destination: FilePath { directory.appending("destination") }

    func fetch(
        _ url: ResourceURL,
        to destination: FilePath? = nil,
        _ algorithm: DigestAlgorithm? = nil,
        limits: FetchLimits = FetchLimits(totalTimeout: .seconds(60)),
        unlessMatching validators: ResourceValidators = ResourceValidators()
    ) async throws -> FetchOutcome {
        try await fetcher.fetch(
            FetchRequest(
                url: url,
                destination: destination ?? self.destination,
                digestAlgorithm: algorithm,
                limits: limits,
                unlessMatching: validators
            )
        )
    }

    func fetch(
        _ path: String,
        to destination: FilePath? = nil,
        limits: FetchLimits = FetchLimits(totalTimeout: .seconds(60)),
        unlessMatching validators: ResourceValidators = ResourceValidators()
    ) async throws -> FetchOutcome {
        try await fetch(server.url(path), to: destination, limits: limits, unlessMatching: validators)
    }

    func fetched(_ url: ResourceURL, _ algorithm: DigestAlgorithm? = nil) async throws -> FetchedFile {
        guard case .fetched(let file) = try await fetch(url, algorithm) else {
            throw ConformanceFailure("'not modified' was the answer to a plain request")
        }
        return file
    }

    func fetched(_ path: String, _ algorithm: DigestAlgorithm? = nil) async throws -> FetchedFile {
        try await fetched(server.url(path), algorithm)
    }

    func fetched(_ path: String, to destination: FilePath) async throws -> FetchedFile {
        guard case .fetched(let file) = try await fetch(server.url(path), to: destination) else {
            throw ConformanceFailure("'not modified' was the answer to a plain request")
        }
        return file
    }

    func fetched(_ path: String, limits: FetchLimits) async throws -> FetchedFile {
        guard case .fetched(let file) = try await fetch(server.url(path), limits: limits) else {
            throw ConformanceFailure("'not modified' was the answer to a plain request")
        }
        return file
    }

    func expect(
        _ kind: FetchError.Kind,
        _ path: String,
        _ limits: FetchLimits = FetchLimits(totalTimeout: .seconds(60)),
        words: String = ""
    ) async throws {
        try await expect(kind, server.url(path), limits, words: words)
    }

    func expect(
        _ kind: FetchError.Kind,
        _ url: ResourceURL,
        _ limits: FetchLimits = FetchLimits(totalTimeout: .seconds(60)),
        to destination: FilePath? = nil,
        words: String = "",
        isLeft: Bool = false
    ) async throws {
        do {
            let outcome = try await fetch(url, to: destination, limits: limits)
            throw ConformanceFailure("\(url) gave \(outcome), not \(kind)")
        } catch let error as FetchError {
            try require(error.kind == kind, "expected \(kind), got \(error.kind): \(error)")
            try require(error.description.contains(url.description), "the error doesn't name the URL: \(error)")
            try require(error.detail.contains(words), "the error doesn't say '\(words)': \(error)")
        }
        let left = destination ?? self.destination
        try require(FileTree.exists(left) == isLeft, "\(left) was left behind, or is gone and should not be")
    }

    func requireContent(letters count: Int) throws {
        let bytes = try FileTree.read(destination, limit: 1 << 24)
        try require(bytes.count == count, "the file has \(bytes.count) bytes, not \(count)")
        try require(bytes.allSatisfy { $0 == UInt8(ascii: "a") }, "the file holds something else")
    }

    func requireCancelled(_ result: Result<FetchOutcome, any Error>) throws {
        switch result {
        case .success(let outcome): throw ConformanceFailure("it ended well: \(outcome)")
        case .failure(let error as FetchError):
            try require(error.kind == .cancelled, "expected cancelled, got \(error)")
            try require(!FileTree.exists(destination), "the file was left behind")
        case .failure(let error): throw error
        }
    }

    func makeLink(_ link: FilePath, to target: FilePath) throws {
        guard symlink(target.string, link.string) == 0 else { throw ConformanceFailure("can't make \(link)") }
    }
}
