import BuildOSKit
import CSSH2

/// Decides whether a host is the one that is meant. It never asks and never learns: a key is known, or it is an error.
struct HostKeyCheck {
    private let settings: HostSettings
    private let known: KnownHosts

    init(_ settings: HostSettings, _ known: KnownHosts) {
        self.settings = settings
        self.known = known
    }

    /// - Throws: ``TransportError`` of kind `hostKey`, with the fingerprint in it.
    func check(_ session: Session) throws(TransportError) {
        var count = 0
        var type: Int32 = 0
        guard let start = libssh2_session_hostkey(session.handle, &count, &type),
            let key = PublicKey(blob: Array(UnsafeRawBufferPointer(start: start, count: count)))
        else { throw error("the host showed none") }
        try judge(key)
    }

    func judge(_ key: PublicKey) throws(TransportError) {
        let shown = "it shows the \(key.typeName) key \(key.fingerprint)"
        switch known.verdict(on: key, of: settings.knownHostsName) {
        case .known: return
        case .unknown:
            throw error(
                "\(shown), and \(files) know none of \(settings.knownHostsName)",
                remedy: "compare the fingerprint with the host's console, then add the key: \(scan)"
            )
        case .different(let entries):
            let others = entries.map { "\($0.place) has \($0.key.typeName) \($0.key.fingerprint)" }
            guard entries.contains(where: { $0.key.type == key.type }) else {
                throw error(
                    "\(shown), and only other types are known: \(others.joined(separator: ", "))",
                    remedy: "compare the fingerprint with the host's console, then add the key: \(scan)"
                )
            }
            throw error(
                "\(shown), but \(others.joined(separator: ", "))",
                remedy:
                    "somebody may be in between, or the host was set up anew: if its console shows this fingerprint, "
                    + "remove the old key (ssh-keygen -R '\(settings.knownHostsName)') and add the new one: \(scan)"
            )
        case .revoked(let entry):
            throw error("\(shown), which \(entry.place) revokes", remedy: "give the host a new host key")
        case .certificateOnly(let entry):
            throw error(
                "\(shown), and \(entry.place) trusts certificates only, which libssh2 can't check",
                remedy: "add the host's own key: \(scan)"
            )
        }
    }

    private var files: String {
        settings.knownHostsFiles.isEmpty
            ? "no known_hosts files" : settings.knownHostsFiles.map(\.string).joined(separator: ", ")
    }

    private var scan: String {
        let port = settings.port == 22 ? "" : "-p \(settings.port) "
        let file = settings.knownHostsFiles.first?.string ?? "~/.ssh/known_hosts"
        return "ssh-keyscan \(port)\(settings.hostName) >>\(file)"
    }

    private func error(_ detail: String, remedy: String? = nil) -> TransportError {
        TransportError(.hostKey, subject: settings.description, detail: detail, remedy: remedy)
    }
}

/// Types of host keys.
enum HostKeyType {
    /// Types to ask a host for: those first whose keys are known.
    ///
    /// RSA only where the library does it with SHA-2: with SHA-1, which it falls back to, a signature proves too little.
    static func preferred(_ known: [String]) -> [String] {
        let elliptic = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"]
        let rsa = Session.hasRSAWithSHA2 ? ["rsa-sha2-512", "rsa-sha2-256"] : []
        let isRSAKnown = known.contains("ssh-rsa")
        return elliptic.filter(known.contains) + (isRSAKnown ? rsa : [])
            + elliptic.filter { !known.contains($0) } + (isRSAKnown ? [] : rsa)
    }
}
