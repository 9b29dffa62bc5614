import BuildOSKit

/// Runs programs, moves files and forwards ports on a host over SSH, with libssh2.
///
/// Connections are made when they are needed, used by many commands at once, and closed after a minute without any.
/// Each has a thread of its own; closures given to it are called there, and must not block.
public final class SSHRemote: Transport {
    public let backendName = SSHRemoteProvider.name
    public let capabilities = SSHRemoteProvider.offered

    private let pool: ConnectionPool

    /// Creates a transport; nothing is read or connected yet.
    public convenience init(to host: RemoteHost) { self.init(to: host, through: nil) }

    /// - Parameter jumps: the hosts to go through, in place of configured ones; the nearest first.
    init(to host: RemoteHost, through jumps: [RemoteHost]?) { pool = ConnectionPool(host, jumps: jumps) }

    deinit { pool.abandon() }

    public func run(
        _ command: Command,
        input: CommandInput,
        output: CommandOutput,
        error: CommandOutput,
        timeLimit: Duration?
    ) async throws(TransportError) -> CommandResult {
        try await run(command, input: input, output: output, error: error, timeLimit: timeLimit, progress: nil)
    }

    private func run(
        _ command: Command,
        input: CommandInput,
        output: CommandOutput,
        error: CommandOutput,
        timeLimit: Duration?,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(TransportError) -> CommandResult {
        let id = pool.nextID()
        let result: Result<CommandResult, TransportError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                pool.submit(
                    CommandJob(
                        id: id,
                        command: command,
                        input: input,
                        output: output,
                        error: error,
                        timeLimit: timeLimit,
                        progress: progress,
                        complete: { continuation.resume(returning: $0) }
                    )
                )
                // The handler may have run before there was anything to cancel.
                if Task.isCancelled { pool.cancel(id) }
            }
        } onCancel: {
            pool.cancel(id)
        }
        return try result.get()
    }

    public func upload(
        _ file: FilePath,
        to destination: FilePath,
        permissions: FilePermissions,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(TransportError) {
        let source = try LocalFile.open(file)
        defer { source.close() }
        let result = try await run(
            RemoteScript.receive(destination, size: source.size, permissions: permissions),
            input: .descriptor(source.descriptor),
            output: .discarded,
            error: .collected(limit: 1 << 16),
            timeLimit: nil,
            progress: progress
        )
        guard result.status.isSuccess else { throw failure(of: destination, result) }
    }

    public func download(
        _ file: FilePath,
        to destination: FilePath,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(TransportError) {
        let target = try LocalFile.create(beside: destination)
        do throws(TransportError) {
            let result = try await run(
                RemoteScript.send(file),
                input: .none,
                output: .descriptor(target.descriptor),
                error: .collected(limit: 1 << 16),
                timeLimit: nil,
                progress: progress
            )
            guard result.status.isSuccess else { throw failure(of: file, result) }
            // The last line: a log-in shell may have said something before. What the host says must not make a file here run as
            // its owner.
            let mode = result.errorText.split(whereSeparator: \.isNewline).last.flatMap { CModeT($0, radix: 8) }
            try await target.complete(FilePermissions(rawValue: (mode ?? 0o600) & 0o777))
        } catch {
            target.abandon()
            throw error
        }
    }

    private func failure(of file: FilePath, _ result: CommandResult) -> TransportError {
        let lines = result.errorText.split(whereSeparator: \.isNewline)
        let detail = lines.last.map(String.init) ?? result.status.description
        return TransportError(.inputOutput, subject: file.string, detail: detail)
    }

    public func forward(localPort: Int, to target: ForwardTarget) async throws(TransportError) -> any PortForward {
        try await pool.connected()
        return try ForwardedPort(localPort, to: target, over: pool)
    }

    /// Opens a stream to somewhere that the host can reach.
    ///
    /// - Returns: a socket that the caller closes.
    func openStream(to target: ForwardTarget) async throws(TransportError) -> Int32 {
        try await pool.openStream(to: target)
    }

    public func close() async { await pool.close() }
}

/// Offers ``SSHRemote``.
public struct SSHRemoteProvider: TransportProvider {
    static let name = "ssh"
    static let offered = TransportCapabilities(remote: true, portForwarding: true)

    public let identity = BackendIdentity(
        name: Self.name,
        interface: .transport,
        summary: "hosts over SSH (libssh2 \(Session.version))"
    )
    public let capabilities = Self.offered

    /// Creates a provider.
    public init() {}

    /// All it needs is linked: nothing can be missing before there is a host to log in to.
    public func preflight() async -> [PreflightFinding] { [] }

    public func makeTransport(to destination: TransportDestination) throws -> any Transport {
        guard case .host(let host) = destination else {
            throw UnsupportedOperation("run programs on this machine", backend: identity.name)
        }
        return SSHRemote(to: host)
    }
}
