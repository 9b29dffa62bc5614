import BuildOSKit

internal import CCrypto

/// Digests bytes as they pass, with libcrypto. Used by one thread alone, hence not Sendable.
final class StreamDigest {
    private let algorithm: DigestAlgorithm
    private let context: OpaquePointer

    init?(_ algorithm: DigestAlgorithm) {
        let function =
            switch algorithm {
            case .sha1: EVP_sha1()
            case .sha224: EVP_sha224()
            case .sha256: EVP_sha256()
            case .sha384: EVP_sha384()
            case .sha512: EVP_sha512()
            }
        guard let context = EVP_MD_CTX_new() else { return nil }
        self.algorithm = algorithm
        self.context = context
        // A machine's policy may forbid a function, SHA-1 for one.
        guard EVP_DigestInit_ex(context, function, nil) == 1 else { return nil }
    }

    deinit { EVP_MD_CTX_free(context) }

    /// Whether the bytes were taken in.
    func update(_ bytes: UnsafeRawBufferPointer) -> Bool {
        EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1
    }

    /// The digest of all bytes; `nil` if the library failed.
    func finish() -> Digest? {
        var bytes = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count: UInt32 = 0
        guard EVP_DigestFinal_ex(context, &bytes, &count) == 1 else { return nil }
        return Digest(algorithm, bytes: bytes.prefix(Int(count)))
    }
}
