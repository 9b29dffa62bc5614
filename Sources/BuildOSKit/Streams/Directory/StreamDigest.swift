internal import CCrypto

/// SHA-256 (FIPS 180-4) of bytes as they pass, by libcrypto. Used by one thread alone, hence not Sendable.
final class StreamDigest {
    private let context: OpaquePointer

    /// `nil` if the library has no memory, or a machine's policy forbids the function.
    init?() {
        guard let context = EVP_MD_CTX_new() else { return nil }
        self.context = context
        guard EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else { return nil }
    }

    deinit { EVP_MD_CTX_free(context) }

    func update(_ bytes: UnsafeRawBufferPointer) {
        // Fails for a context alone that wasn't initialized, and this one was.
        _ = EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
    }

    /// The digest of all bytes: 32 of them; none if the library failed.
    func finish() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count: UInt32 = 0
        guard EVP_DigestFinal_ex(context, &bytes, &count) == 1 else { return [] }
        return Array(bytes.prefix(Int(count)))
    }

    /// The digest of these bytes.
    static func of(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        guard let digest = StreamDigest() else { return [] }
        digest.update(bytes)
        return digest.finish()
    }
}
