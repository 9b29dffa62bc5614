import BuildOSKit
import CSSH2
import Glibc

/// Logs in with one key after the other, in the order of ssh(1): key files of the caller, the agent's keys, those of
/// the configuration. There are no passwords: a build host takes none (SSH-1).
struct Authentication {
    private let session: Session
    private let settings: HostSettings
    private let waiting: Waiting

    init(_ session: Session, _ settings: HostSettings, _ waiting: Waiting) {
        self.session = session
        self.settings = settings
        self.waiting = waiting
    }

    /// - Throws: ``TransportError`` of kind `refused`, with all that was tried in it.
    func logIn() throws(TransportError) {
        var tried: [String] = []
        if try isFree() { return }
        for file in settings.chosenIdentities where try logIn(with: file, isChosen: true, &tried) { return }
        if try logInWithAgent(&tried) { return }
        for file in settings.configuredIdentities where !settings.chosenIdentities.contains(file) {
            if try logIn(with: file, isChosen: false, &tried) { return }
        }
        throw refused(tried.isEmpty ? "there is no key to try" : "tried \(tried.joined(separator: "; "))")
    }

    /// Asks the host how one may log in.
    ///
    /// - Returns: whether nothing is needed at all.
    private func isFree() throws(TransportError) -> Bool {
        var methods: String?
        let code = try waiting.finish(session) {
            let list = libssh2_userauth_list(session.handle, settings.user, UInt32(settings.user.utf8.count))
            methods = list.map { String(cString: $0) }
            return list == nil ? session.lastCode : 0
        }
        if libssh2_userauth_authenticated(session.handle) == 1 { return true }
        guard code == 0, let methods else { throw refused(session.loss) }
        guard methods.split(separator: ",").contains("publickey") else {
            throw refused("it takes \(methods), and no keys")
        }
        return false
    }

    private func logIn(with path: FilePath, isChosen: Bool, _ tried: inout [String]) throws(TransportError) -> Bool {
        let file: KeyFile
        do throws(KeyFile.Flaw) { file = try KeyFile.read(path) } catch {
            if isChosen || !error.isAbsence { tried.append("\(path) (\(error.reason))") }
            return false
        }
        let name = [path.string, file.publicKey?.fingerprint].compactMap { $0 }.joined(separator: " ")
        if let reason = unusable(isRSA: file.isRSA) {
            tried.append("\(name) (\(reason))")
            return false
        }
        var passphrase: String?
        if file.isEncrypted {
            guard let answer = waiting.pause({ settings.passphrase?(path) }) else {
                tried.append("\(name) (it has a passphrase, and nobody gave it)")
                return false
            }
            passphrase = answer
        }
        let code = try waiting.finish(session) {
            libssh2_userauth_publickey_fromfile_ex(
                session.handle,
                settings.user,
                UInt32(settings.user.utf8.count),
                nil,
                path.string,
                passphrase
            )
        }
        if code == 0 { return true }
        tried.append("\(name) (\(code == LIBSSH2_ERROR_FILE ? fileError(passphrase) : try reason(code)))")
        return false
    }

    private func fileError(_ passphrase: String?) -> String {
        passphrase == nil ? session.lastError : "wrong passphrase, or a format that libssh2 can't read"
    }

    private func logInWithAgent(_ tried: inout [String]) throws(TransportError) -> Bool {
        guard let socket = settings.agentSocket, let agent = libssh2_agent_init(session.handle) else { return false }
        defer {
            libssh2_agent_disconnect(agent)
            libssh2_agent_free(agent)
        }
        libssh2_agent_set_identity_path(agent, socket.string)
        guard libssh2_agent_connect(agent) == 0, libssh2_agent_list_identities(agent) == 0 else {
            tried.append("the agent at \(socket) (it doesn't answer)")
            return false
        }
        let wanted = settings.identitiesOnly ? Set(namedKeys) : nil
        var identity: UnsafeMutablePointer<libssh2_agent_publickey>?
        while libssh2_agent_get_identity(agent, &identity, identity) == 0, let found = identity {
            let blob = Array(UnsafeBufferPointer(start: found.pointee.blob, count: found.pointee.blob_len))
            guard let key = PublicKey(blob: blob), wanted?.contains(key) ?? true else { continue }
            let name = "the agent's \(key.typeName) \(key.fingerprint)"
            if let reason = unusable(isRSA: key.type == "ssh-rsa") {
                tried.append("\(name) (\(reason))")
                continue
            }
            let code = try waiting.finish(session) { libssh2_agent_userauth(agent, settings.user, found) }
            if code == 0 { return true }
            tried.append("\(name) (\(try reason(code)))")
        }
        return false
    }

    /// Keys that files name: the private ones', or those beside them for keys that only the agent has.
    private var namedKeys: [PublicKey] {
        (settings.chosenIdentities + settings.configuredIdentities).compactMap { path in
            if let key = (try? KeyFile.read(path))?.publicKey { return key }
            for name in [path.string, path.string + ".pub"] {
                guard let text = try? FileTree.readText(FilePath(name), limit: 64 << 10) else { continue }
                let fields = text.split(whereSeparator: \.isWhitespace)
                if fields.count > 1, let key = PublicKey(base64: fields[1]) { return key }
            }
            return nil
        }
    }

    private func unusable(isRSA: Bool) -> String? {
        guard isRSA, !Session.hasRSAWithSHA2 else { return nil }
        return "libssh2 \(Session.version) signs with RSA and SHA-1 only, which OpenSSH refuses: use an Ed25519 key"
    }

    /// Why a key was of no use, if the host still listens.
    private func reason(_ code: Int32) throws(TransportError) -> String {
        switch code {
        case LIBSSH2_ERROR_AUTHENTICATION_FAILED, LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED: return "refused"
        case LIBSSH2_ERROR_SOCKET_DISCONNECT, LIBSSH2_ERROR_SOCKET_SEND, LIBSSH2_ERROR_SOCKET_RECV:
            throw refused("the host closed the connection, as after too many keys; name the right one")
        default: return session.lastError
        }
    }

    private func refused(_ detail: String) -> TransportError {
        TransportError(.refused, subject: settings.description, detail: detail)
    }
}
