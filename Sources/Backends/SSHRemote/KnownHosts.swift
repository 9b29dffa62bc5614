import BuildOSKit
import CCrypto
import FoundationEssentials

/// The host keys that an operator knows (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").
struct KnownHosts: Sendable {
    /// One line.
    struct Entry: Sendable, Hashable {
        enum Marker: Sendable, Hashable {
            case none
            case revoked
            case certificateAuthority
        }
        enum Names: Sendable, Hashable {
            case patterns([String])
            /// HMAC-SHA1 of the name, with the salt as its key.
            case hashed(salt: [UInt8], digest: [UInt8])
        }
        let marker: Marker
        let names: Names
        let key: PublicKey
        /// `file:line`
        let place: String

        /// - Parameter name: as ``HostSettings/knownHostsName`` writes it.
        func means(_ name: String) -> Bool {
            switch names {
            case .patterns(let patterns): HostPattern.matches(patterns, name, ignoringCase: true)
            case .hashed(let salt, let digest): Self.digest(of: name, salt: salt) == digest
            }
        }

        private static func digest(of name: String, salt: [UInt8]) -> [UInt8] {
            var digest = [UInt8](repeating: 0, count: 20)
            let text = Array(name.utf8)
            var count = 0
            let result = EVP_Q_mac(
                nil,
                "HMAC",
                nil,
                "SHA1",
                nil,
                salt,
                salt.count,
                text,
                text.count,
                &digest,
                digest.count,
                &count
            )
            return result != nil && count == digest.count ? digest : []
        }
    }

    /// What the files say about a host's key.
    enum Verdict: Hashable {
        case known
        /// No line is about the host.
        case unknown
        /// Lines are about the host, but of none with this key.
        case different(known: [Entry])
        case revoked(Entry)
        /// Only its certificate would be trusted.
        case certificateOnly(Entry)
    }

    let entries: [Entry]

    private static let largestFile = 4 << 20

    /// Parses one file's text. A line that can't be understood trusts nobody, and is passed over.
    init(_ text: String, name: String) {
        var entries: [Entry] = []
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            if let entry = Self.entry(line, place: "\(name):\(index + 1)") { entries.append(entry) }
        }
        self.entries = entries
    }

    private init(_ entries: [Entry]) { self.entries = entries }

    /// Reads files; one that isn't there is none.
    static func read(_ files: [FilePath]) throws(TransportError) -> KnownHosts {
        var entries: [Entry] = []
        for file in files {
            do throws(FileError) {
                let bytes = try FileTree.read(file, limit: largestFile)
                entries += KnownHosts(String(decoding: bytes, as: UTF8.self), name: file.string).entries
            } catch {
                if error.errno == .noSuchFileOrDirectory { continue }
                throw TransportError(.hostKey, subject: file.string, detail: error.description)
            }
        }
        return KnownHosts(entries)
    }

    private static func entry(_ line: Substring, place: String) -> Entry? {
        var fields = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
        guard let first = fields.first, !first.hasPrefix("#") else { return nil }
        var marker = Entry.Marker.none
        if first.hasPrefix("@") {
            switch first {
            case "@revoked": marker = .revoked
            case "@cert-authority": marker = .certificateAuthority
            default: return nil
            }
            fields.removeFirst()
        }
        guard fields.count >= 3, let names = names(fields[0]),
            let key = PublicKey(base64: fields[2]), key.type == fields[1]
        else { return nil }
        return Entry(marker: marker, names: names, key: key, place: place)
    }

    private static func names(_ field: Substring) -> Entry.Names? {
        guard field.hasPrefix("|") else { return .patterns(field.split(separator: ",").map(String.init)) }
        let parts = field.split(separator: "|")
        guard parts.count == 3, parts[0] == "1", let salt = Data(base64Encoded: String(parts[1])), !salt.isEmpty,
            let digest = Data(base64Encoded: String(parts[2])), digest.count == 20
        else { return nil }
        return .hashed(salt: Array(salt), digest: Array(digest))
    }

    /// The types of the keys that are known of a host.
    func types(of name: String) -> [String] {
        entries.filter { $0.marker == .none && $0.means(name) }.map(\.key.type)
    }

    /// Judges a key that a host showed.
    func verdict(on key: PublicKey, of name: String) -> Verdict {
        let about = entries.filter { $0.means(name) }
        if let revoked = about.first(where: { $0.marker == .revoked && $0.key == key }) { return .revoked(revoked) }
        let known = about.filter { $0.marker == .none }
        if known.contains(where: { $0.key == key }) { return .known }
        if !known.isEmpty { return .different(known: known) }
        if let authority = about.first(where: { $0.marker == .certificateAuthority }) {
            return .certificateOnly(authority)
        }
        return .unknown
    }
}
