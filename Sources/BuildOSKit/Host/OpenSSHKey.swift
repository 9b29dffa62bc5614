import FoundationEssentials

/// Checks a private key of OpenSSH without running a program for it (OpenSSH, PROTOCOL.key).
public enum OpenSSHKey {
    /// The line of the public key, without a comment.
    ///
    /// - Returns: `nil` unless the text is one whole private key without a passphrase.
    public static func publicKey(ofPrivateKey text: String) -> String? {
        let lines = text.split(separator: "\n")
        guard lines.first == "-----BEGIN OPENSSH PRIVATE KEY-----", lines.last == "-----END OPENSSH PRIVATE KEY-----",
            let data = Data(base64Encoded: lines.dropFirst().dropLast().joined())
        else { return nil }
        var reader = Reader(bytes: Array(data))
        guard reader.take(15) == Array("openssh-key-v1\0".utf8),
            reader.string() == Array("none".utf8), reader.string() == Array("none".utf8), reader.string() == [],
            reader.number() == 1, let blob = reader.string(), let secret = reader.string(), reader.isAtEnd
        else { return nil }
        var publicReader = Reader(bytes: blob)
        guard let type = publicReader.string(), !type.isEmpty else { return nil }
        var secretReader = Reader(bytes: secret)
        guard let check = secretReader.number(), secretReader.number() == check, secretReader.string() == type else {
            return nil
        }
        return String(decoding: type, as: UTF8.self) + " " + Data(blob).base64EncodedString()
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        var isAtEnd: Bool { position == bytes.count }

        init(bytes: [UInt8]) { self.bytes = bytes }

        mutating func take(_ count: Int) -> [UInt8]? {
            guard count >= 0, bytes.count - position >= count else { return nil }
            defer { position += count }
            return Array(bytes[position..<position + count])
        }

        mutating func number() -> UInt32? { take(4).map { $0.reduce(0) { $0 << 8 | UInt32($1) } } }

        mutating func string() -> [UInt8]? { number().flatMap { take(Int($0)) } }
    }
}
