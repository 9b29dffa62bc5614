import FoundationEssentials

/// A line of an `authorized_keys` file: type, key, comment; without options (SSH-1; sshd(8)).
public struct AuthorizedKey: Sendable, Hashable, CustomStringConvertible {
    /// The types that the OpenSSH server accepts, DSA excepted.
    public static let types: Set<String> = [
        "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
    ]

    /// The key's type.
    public let type: String
    /// The key in base 64.
    public let key: String
    /// Whatever follows; may be empty.
    public let comment: String

    /// Parses a key, and checks that the data inside is of the type it says.
    ///
    /// - Throws: ``InvalidValue``
    public init(_ text: String) throws(InvalidValue) {
        guard text.unicodeScalars.allSatisfy({ $0.properties.isPrintableOnConsole }) else {
            throw InvalidValue("it holds a control character")
        }
        let words = text.split(separator: " ", maxSplits: 2)
        guard let type = words.first.map(String.init), Self.types.contains(type) else {
            throw InvalidValue("'\(words.first?.prefix(40) ?? "")' is not the type of a public key")
        }
        guard words.count >= 2 else {
            throw InvalidValue("the key is missing after '\(type)'; are the quotes around the value there?")
        }
        let key = String(words[1])
        guard let data = Data(base64Encoded: key) else {
            throw InvalidValue("'\(key.prefix(40))' is not base 64; was the key shortened?")
        }
        // RFC 4253, 6.6: the data begins with the type as a string with a length of four bytes.
        let inner = [UInt8](data.prefix(4 + type.utf8.count))
        let length = UInt32(type.utf8.count)
        let expected = (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32($0))) } + Array(type.utf8)
        guard inner == expected, data.count > inner.count else {
            throw InvalidValue("the key's data is not of type \(type); was it cut or changed?")
        }
        self.type = type
        self.key = key
        comment = words.count == 3 ? String(words[2]) : ""
    }

    public var description: String { comment.isEmpty ? "\(type) \(key)" : "\(type) \(key) \(comment)" }
}
