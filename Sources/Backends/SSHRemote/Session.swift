import BuildOSKit
import CSSH2
import Glibc

/// A session of libssh2, never blocking. Used by one thread alone.
final class Session {
    let handle: OpaquePointer
    let buffers: SocketBuffers
    /// For one read at a time.
    let readBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)

    /// - Parameter descriptor: a connected socket; closed with this.
    init(_ descriptor: Int32) throws(TransportError) {
        let buffers = SocketBuffers(descriptor)
        guard Self.libraryError == 0, let handle = buffers.makeSession() else {
            throw TransportError(.cannotStart, subject: "libssh2", detail: "it can't make a session")
        }
        self.buffers = buffers
        self.handle = handle
    }

    deinit {
        buffers.abandon()
        libssh2_session_free(handle)
        readBuffer.deallocate()
    }

    /// libssh2_init is not safe on several threads; a static is made once.
    private static let libraryError = libssh2_init(0)

    /// The version of the library, and whether it is at least some other.
    static var version: String { libssh2_version(0).map { String(cString: $0) } ?? "unknown" }
    /// Whether it signs with RSA and SHA-2, as OpenSSH 8.8 and later want it: since 1.11.
    static var hasRSAWithSHA2: Bool { libssh2_version(0x01_0b_00) != nil }

    /// The library's words for what failed last.
    var lastError: String {
        var text: UnsafeMutablePointer<CChar>?
        var count: Int32 = 0
        libssh2_session_last_error(handle, &text, &count, 0)
        return text.map { String(cString: $0) } ?? "unknown error"
    }

    /// Asks the host to answer, whatever it says (RFC 4254, 4).
    func sendKeepAlive() {
        var next: Int32 = 0
        libssh2_keepalive_config(handle, 1, 2)
        libssh2_keepalive_send(handle, &next)
    }

    /// Says good-bye, as far as the socket takes it.
    func disconnect() {
        libssh2_session_disconnect_ex(handle, SSH_DISCONNECT_BY_APPLICATION, "", "")
        buffers.flush()
    }

    var lastCode: Int32 { libssh2_session_last_errno(handle) }

    /// Why the connection can't go on.
    var loss: String {
        if let failure = buffers.failure { return failure.description }
        return buffers.isBroken ? "the host closed the connection" : lastError
    }
}

/// The connection is of no use any more.
struct ConnectionLoss: Error {
    let detail: String
}

/// A channel of a session. Used by its thread alone.
struct Channel {
    let handle: OpaquePointer
    let session: Session

    /// Bytes of one stream that may be on their way here: with OpenSSH's 2 MiB, 20 ms of delay made it half as fast.
    static let window: UInt32 = 8 << 20
    /// The largest packet that libssh2 takes.
    static let packet: UInt32 = 32_768

    /// What came of a call.
    enum Outcome {
        case again
        case done(Int)
        /// The other side said no; the connection is all right.
        case denied
    }

    /// Begins or goes on to open a channel: only one at a time, and always the same until it is open.
    ///
    /// - Returns: `nil` as long as there is no answer.
    static func open(
        _ type: String,
        message: [UInt8],
        on session: Session
    ) throws(ConnectionLoss) -> Result<Channel, Refusal>? {
        let handle = message.withUnsafeBytes { message in
            libssh2_channel_open_ex(
                session.handle,
                type,
                UInt32(type.utf8.count),
                window,
                packet,
                message.count == 0 ? nil : message.baseAddress?.assumingMemoryBound(to: CChar.self),
                UInt32(message.count)
            )
        }
        if let handle { return .success(Channel(handle: handle, session: session)) }
        switch session.lastCode {
        case LIBSSH2_ERROR_EAGAIN: return nil
        case LIBSSH2_ERROR_CHANNEL_FAILURE: return .failure(Refusal(detail: session.lastError))
        default: throw ConnectionLoss(detail: session.loss)
        }
    }

    /// The host refused to open a channel.
    struct Refusal: Error {
        let detail: String
    }

    func execute(_ line: [UInt8]) throws(ConnectionLoss) -> Outcome {
        try outcome(
            line.withUnsafeBytes { line in
                Int(
                    libssh2_channel_process_startup(
                        handle,
                        "exec",
                        4,
                        line.baseAddress?.assumingMemoryBound(to: CChar.self),
                        UInt32(line.count)
                    )
                )
            }
        )
    }

    /// - Returns: 0 at the end of the stream.
    func read(_ stream: Int32, into buffer: UnsafeMutableRawBufferPointer) throws(ConnectionLoss) -> Outcome {
        try outcome(
            libssh2_channel_read_ex(
                handle,
                stream,
                buffer.baseAddress?.assumingMemoryBound(to: CChar.self),
                buffer.count
            )
        )
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(ConnectionLoss) -> Outcome {
        try outcome(
            libssh2_channel_write_ex(
                handle,
                0,
                bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
                bytes.count
            )
        )
    }

    func sendEnd() throws(ConnectionLoss) -> Outcome { try outcome(Int(libssh2_channel_send_eof(handle))) }

    /// Takes what came on the connection without reading any of it, for what else there is in it.
    func pump() throws(ConnectionLoss) { _ = try outcome(Int(libssh2_channel_wait_eof(handle))) }

    /// Whether the other side has closed; only to be asked at the end.
    func isClosed() throws(ConnectionLoss) -> Bool {
        if case .again = try outcome(Int(libssh2_channel_wait_closed(handle))) { false } else { true }
    }

    /// Closes and frees; to be repeated while it says ``Outcome/again``, and never after.
    func free() throws(ConnectionLoss) -> Outcome { try outcome(Int(libssh2_channel_free(handle))) }

    /// How the command ended (RFC 4254, 6.10).
    var status: CommandStatus {
        var name: UnsafeMutablePointer<CChar>?
        var count = 0
        if libssh2_channel_get_exit_signal(handle, &name, &count, nil, nil, nil, nil) == 0, let name {
            defer { libssh2_free(session.handle, name) }
            let bytes = UnsafeRawBufferPointer(start: name, count: count)
            return .signalled(SignalName.number(String(decoding: bytes, as: UTF8.self)))
        }
        return .exited(libssh2_channel_get_exit_status(handle))
    }

    private func outcome(_ code: Int) throws(ConnectionLoss) -> Outcome {
        if code >= 0 { return .done(code) }
        switch Int32(code) {
        case LIBSSH2_ERROR_EAGAIN: return .again
        case LIBSSH2_ERROR_CHANNEL_FAILURE, LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED, LIBSSH2_ERROR_CHANNEL_CLOSED,
            LIBSSH2_ERROR_CHANNEL_EOF_SENT:
            return .denied
        default: throw ConnectionLoss(detail: session.loss)
        }
    }
}

/// The signals that SSH has names for.
enum SignalName {
    private static let numbers: [String: Int32] = [
        "ABRT": SIGABRT, "ALRM": SIGALRM, "FPE": SIGFPE, "HUP": SIGHUP, "ILL": SIGILL, "INT": SIGINT, "KILL": SIGKILL,
        "PIPE": SIGPIPE, "QUIT": SIGQUIT, "SEGV": SIGSEGV, "TERM": SIGTERM, "USR1": SIGUSR1, "USR2": SIGUSR2,
    ]

    /// 0 for one without a name in RFC 4254, which sshd gives as `SIG@openssh.com`.
    static func number(_ name: String) -> Int32 { numbers[name] ?? 0 }
}
