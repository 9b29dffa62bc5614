/// A small resource, in memory.
public struct FetchedContent: Sendable, Hashable {
    /// Its bytes.
    public let bytes: [UInt8]
    /// Their digest.
    public let digest: Digest?
    /// What to show the server next time.
    public let validators: ResourceValidators
}

/// Why a small resource could not be had.
public enum FetchContentError: Error, Sendable, Hashable {
    /// It could not be fetched.
    case fetch(FetchError)
    /// It was fetched, but the scratch file could not be read back.
    case file(FileError)
}

extension Fetcher {
    /// Fetches a small resource into memory: a checksums file, a build id.
    ///
    /// - Parameters:
    ///   - limits: its `maximumBytes` bounds the memory used.
    ///   - scratch: a directory for the moment in which it is a file.
    /// - Returns: `nil` if the resource is still the one that `validators` describe.
    public func content(
        of url: ResourceURL,
        limits: FetchLimits,
        digestAlgorithm: DigestAlgorithm? = nil,
        unlessMatching validators: ResourceValidators = ResourceValidators(),
        scratch: FilePath
    ) async throws(FetchContentError) -> FetchedContent? {
        let file = scratch.appending(".buildos-fetch-\(String(UInt64.random(in: .min ... .max), radix: 36))")
        let outcome: FetchOutcome
        do {
            outcome = try await fetch(
                FetchRequest(
                    url: url,
                    destination: file,
                    digestAlgorithm: digestAlgorithm,
                    limits: limits,
                    unlessMatching: validators
                )
            )
        } catch {
            throw .fetch(error)
        }
        guard case .fetched(let fetched) = outcome else { return nil }
        let bytes = Result { () throws(FileError) in
            try FileTree.read(file, limit: Int(clamping: limits.maximumBytes))
        }
        do throws(FileError) {
            try FileTree.remove(file)
            return FetchedContent(bytes: try bytes.get(), digest: fetched.digest, validators: fetched.validators)
        } catch {
            throw .file(error)
        }
    }
}
