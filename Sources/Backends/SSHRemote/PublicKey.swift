import CCrypto
import FoundationEssentials

/// A public key as SSH writes it: a blob that begins with the name of its type (RFC 4253, 6.6).
struct PublicKey: Sendable, Hashable {
    let type: String
    let blob: [UInt8]

    /// - Returns: `nil` unless the blob begins with a name.
    init?(blob: [UInt8]) {
        var reader = WireReader(blob)
        guard let name = reader.string(), !name.isEmpty, name.count <= 64 else { return nil }
        type = String(decoding: name, as: UTF8.self)
        self.blob = blob
    }

    /// Parses the base64 of a blob.
    init?(base64: some StringProtocol) {
        guard let data = Data(base64Encoded: String(base64)) else { return nil }
        self.init(blob: Array(data))
    }

    /// As ssh-keygen(1) shows it: `SHA256:` and base64 without padding.
    var fingerprint: String {
        var digest = [UInt8](repeating: 0, count: 32)
        guard EVP_Digest(blob, blob.count, &digest, nil, EVP_sha256(), nil) == 1 else { return "SHA256:?" }
        return "SHA256:" + Data(digest).base64EncodedString().filter { $0 != "=" }
    }

    /// The type in a reader's words.
    var typeName: String {
        switch type {
        case "ssh-ed25519": "ED25519"
        case "ssh-rsa": "RSA"
        case let name where name.hasPrefix("ecdsa-"): "ECDSA"
        default: type
        }
    }
}

/// Reads the parts of SSH's binary formats (RFC 4251, 5).
struct WireReader {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func take(_ count: Int) -> [UInt8]? {
        guard count >= 0, bytes.count - position >= count else { return nil }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    mutating func number() -> UInt32? { take(4).map { $0.reduce(0) { $0 << 8 | UInt32($1) } } }

    mutating func string() -> [UInt8]? { number().flatMap { take(Int($0)) } }
}
