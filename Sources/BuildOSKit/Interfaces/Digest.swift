/// The hash functions of checksums files (TOOL-1; FIPS 180-4).
public enum DigestAlgorithm: String, Sendable, Hashable, Codable, CaseIterable {
    case sha1, sha224, sha256, sha384, sha512

    /// Length of a digest in bytes.
    public var byteCount: Int {
        switch self {
        case .sha1: 20
        case .sha224: 28
        case .sha256: 32
        case .sha384: 48
        case .sha512: 64
        }
    }
}

/// A digest with the algorithm that made it.
public struct Digest: Sendable, Hashable, Codable {
    /// The hash function.
    public let algorithm: DigestAlgorithm
    /// Lower-case hexadecimal, `2 * algorithm.byteCount` digits.
    public let hexadecimal: String

    /// Accepts hexadecimal digits of either case; `nil` if the length or a digit is wrong.
    public init?(_ algorithm: DigestAlgorithm, hexadecimal: some StringProtocol) {
        guard hexadecimal.utf8.count == 2 * algorithm.byteCount,
            hexadecimal.utf8.allSatisfy({ Self.isHexadecimal($0) })
        else { return nil }
        self.algorithm = algorithm
        self.hexadecimal = hexadecimal.lowercased()
    }

    /// Takes the raw bytes of a digest; `nil` if there are too few or too many.
    public init?(_ algorithm: DigestAlgorithm, bytes: some Collection<UInt8>) {
        let digits = Array("0123456789abcdef".utf8)
        self.init(
            algorithm,
            hexadecimal: String(
                decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] },
                as: UTF8.self
            )
        )
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"):
            true
        default: false
        }
    }
}
