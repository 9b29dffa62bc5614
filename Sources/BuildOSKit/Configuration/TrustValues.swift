/// The SHA-256 fingerprint of a repository certificate.
public struct CertificateFingerprint: Sendable, Hashable, CustomStringConvertible {
    /// The 32 bytes.
    public let bytes: [UInt8]

    /// Parses 32 pairs of hex digits joined by colons; the case of the digits does not matter.
    ///
    /// - Throws: ``InvalidValue``
    public init(_ text: String) throws(InvalidValue) {
        let pairs = text.split(separator: ":", omittingEmptySubsequences: false)
        var bytes: [UInt8] = []
        for pair in pairs {
            guard pair.utf8.count == 2, pair.allSatisfy(\.isHexDigit), let byte = UInt8(pair, radix: 16) else {
                throw InvalidValue("'\(pair.prefix(20))' is not a pair of hex digits")
            }
            bytes.append(byte)
        }
        guard bytes.count == 32 else { throw InvalidValue("it has \(bytes.count) pairs of hex digits, not 32") }
        self.bytes = bytes
    }

    /// The pairs in upper case, as the build2 tools print them.
    public var description: String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true) }.joined(separator: ":")
    }
}

/// What the bootstrap of a toolchain trusts: the value of its `trust` file and of `build.sh --trust` (TOOL-2, TOOL-5).
public enum ToolchainTrust: Sendable, Hashable, CustomStringConvertible {
    /// Any certificate.
    case yes
    /// No new certificate: the value if nothing is given.
    case no
    /// The certificate of this fingerprint.
    case fingerprint(CertificateFingerprint)

    /// Parses `yes`, `no` or a fingerprint.
    ///
    /// - Throws: ``InvalidValue``
    public init(_ text: String) throws(InvalidValue) {
        switch text {
        case "yes": self = .yes
        case "no": self = .no
        default: self = .fingerprint(try CertificateFingerprint(text))
        }
    }

    public var description: String {
        switch self {
        case .yes: "yes"
        case .no: "no"
        case .fingerprint(let fingerprint): fingerprint.description
        }
    }
}
