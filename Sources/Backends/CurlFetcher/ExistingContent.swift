import BuildOSKit
import Glibc
import Synchronization

/// What is in a destination already and was digested, for a transfer to go on behind it.
final class ExistingContent: Sendable {
    /// What the request says of it.
    let partial: PartialFetch
    private let digest: Mutex<StreamDigest?>

    private init(_ partial: PartialFetch, _ digest: sending StreamDigest?) {
        self.partial = partial
        self.digest = Mutex(digest)
    }

    /// The digest of what is there, once.
    func takeDigest() -> StreamDigest? {
        digest.withLock { digest in
            let taken = digest
            digest = nil
            return taken
        }
    }

    /// Reads what a request is to continue, on a thread of its own; `nil` if it continues nothing, or if what it
    /// describes isn't there: it then begins anew.
    static func read(for request: FetchRequest) async -> ExistingContent? {
        guard let partial = request.continuing, request.posting == nil, partial.byteCount > 0,
            request.url.scheme == .http || request.url.scheme == .https, partial.canBeContinued
        else { return nil }
        let (path, algorithm) = (request.destination, request.digestAlgorithm)
        return await DedicatedThread.run(name: "curl-digest") { read(path, partial, algorithm) }
    }

    private static func read(_ path: FilePath, _ partial: PartialFetch, _ algorithm: DigestAlgorithm?)
        -> ExistingContent?
    {
        guard let file = try? FileDescriptor.open(path, .readOnly, options: [.noFollow, .closeOnExec, .nonBlocking])
        else { return nil }
        defer { try? file.close() }
        var status = stat()
        guard fstat(file.rawValue, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            Int64(status.st_size) >= partial.byteCount
        else { return nil }
        guard let algorithm else { return ExistingContent(partial, nil) }
        guard let digest = StreamDigest(algorithm) else { return nil }
        var left = partial.byteCount
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while left > 0 {
            let isTaken = buffer.withUnsafeMutableBytes { buffer in
                let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(min(Int64(buffer.count), left))])
                guard let count = try? file.read(into: piece), count > 0 else { return false }
                left -= Int64(count)
                return digest.update(UnsafeRawBufferPointer(rebasing: piece[..<count]))
            }
            guard isTaken else { return nil }
        }
        return ExistingContent(partial, digest)
    }
}

extension PartialFetch {
    /// Whether a server can be asked for the rest of this version and no other (RFC 9110, 13.1.5).
    fileprivate var canBeContinued: Bool {
        validators.entityTag.map(ContentRange.isStrong) ?? (validators.lastModified != nil)
    }
}
