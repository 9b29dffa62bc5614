import BuildOSKit
import CSSH2
import Glibc

/// From nothing to a session that is logged in; on the connection's thread.
struct Establishment {
    private let connection: Connection
    private let settings: HostSettings

    init(_ connection: Connection) {
        self.connection = connection
        settings = connection.settings
    }

    /// - Parameter socket: to use in place of a TCP connection; closed with the session.
    func session(over socket: Int32?) throws(TransportError) -> Session {
        let known: KnownHosts
        do throws(TransportError) { known = try KnownHosts.read(settings.knownHostsFiles) } catch {
            if let socket { close(socket) }
            throw error
        }
        let waiting = Waiting(connection)
        let descriptor = if let socket { socket } else { try TCPConnector(settings, waiting).connect() }
        let session = try Session(descriptor)
        try shakeHands(session, waiting, known)
        try HostKeyCheck(settings, known).check(session)
        try Authentication(session, settings, waiting).logIn()
        return session
    }

    private func shakeHands(_ session: Session, _ waiting: Waiting, _ known: KnownHosts) throws(TransportError) {
        prefer(LIBSSH2_METHOD_HOSTKEY, HostKeyType.preferred(known.types(of: settings.knownHostsName)), session)
        // By what they cost: see docs/transport.md.
        prefer(LIBSSH2_METHOD_CRYPT_CS, Self.ciphers, session)
        prefer(LIBSSH2_METHOD_CRYPT_SC, Self.ciphers, session)
        prefer(LIBSSH2_METHOD_MAC_CS, Self.digests, session)
        prefer(LIBSSH2_METHOD_MAC_SC, Self.digests, session)
        let code = try waiting.finish(session) { libssh2_session_handshake(session.handle, session.buffers.descriptor) }
        guard code == 0 else {
            if code == LIBSSH2_ERROR_KEX_FAILURE || code == LIBSSH2_ERROR_METHOD_NONE {
                throw TransportError(
                    .unreachable,
                    subject: settings.description,
                    detail: "no common algorithms: \(session.lastError)",
                    remedy: "let the host have an Ed25519 or ECDSA host key, curve25519 and AES-CTR"
                )
            }
            throw TransportError(
                .unreachable,
                subject: settings.description,
                detail: "no SSH greeting: \(session.loss)"
            )
        }
    }

    private static let ciphers = [
        "aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr",
    ]
    private static let digests = ["hmac-sha2-256", "hmac-sha2-512", "hmac-sha1"]

    /// What the library doesn't have is dropped by it; if that is all, its own list stays.
    private func prefer(_ method: Int32, _ names: [String], _ session: Session) {
        libssh2_session_method_pref(session.handle, method, names.joined(separator: ","))
    }
}

/// Waits on behalf of a connection that is being made, no longer than it may take.
final class Waiting {
    private let connection: Connection
    private var deadline: ContinuousClock.Instant

    init(_ connection: Connection) {
        self.connection = connection
        deadline = .now + connection.settings.connectTimeout
    }

    /// Repeats a call of libssh2 until it has an answer.
    ///
    /// - Returns: what it answered.
    func finish(_ session: Session, _ call: () -> Int32) throws(TransportError) -> Int32 {
        while true {
            let code = call()
            session.buffers.flush()
            guard code == LIBSSH2_ERROR_EAGAIN else { return code }
            var events = Int32(POLLIN)
            if session.buffers.hasOutgoing { events |= Int32(POLLOUT) }
            try wait(for: session.buffers.descriptor, events)
        }
    }

    /// Waits until a descriptor is ready.
    func wait(for descriptor: Int32, _ events: Int32) throws(TransportError) {
        while true {
            if connection.isClosing {
                throw TransportError(.cancelled, subject: connection.settings.description)
            }
            guard .now < deadline else {
                throw TransportError(
                    .unreachable,
                    subject: connection.settings.description,
                    detail: "no answer within \(connection.settings.connectTimeout)"
                )
            }
            var entries = [
                pollfd(fd: descriptor, events: Int16(events), revents: 0),
                pollfd(fd: connection.signalDescriptor, events: Int16(POLLIN), revents: 0),
            ]
            poll(&entries, nfds_t(entries.count), milliseconds(until: deadline))
            if entries[0].revents != 0 { return }
            // Mail for later must not wake us again and again.
            if entries[1].revents != 0 { connection.takeSignal() }
        }
    }

    /// Runs what a person takes their time for, which is not the host's.
    func pause<Result>(_ body: () -> Result) -> Result {
        let start = ContinuousClock.now
        defer { deadline += .now - start }
        return body()
    }
}
