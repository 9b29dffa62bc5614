/// What a transport can do.
public struct TransportCapabilities: CapabilitySet {
    /// Whether commands run on another machine.
    public let remote: Bool
    /// Whether it forwards ports.
    public let portForwarding: Bool

    /// Creates capabilities.
    public init(remote: Bool, portForwarding: Bool = false) {
        self.remote = remote
        self.portForwarding = portForwarding
    }

    public var listing: [Capability] {
        [Capability("remote", remote), Capability("port-forwarding", portForwarding)]
    }
}

/// Runs programs, moves files, forwards ports: on this machine, or on another one.
public protocol Transport: BackendInstance {
    /// What it can do.
    var capabilities: TransportCapabilities { get }

    /// Runs a command until it has ended and what it wrote has arrived. A status other than 0 is not an error here.
    ///
    /// What children that outlive it write may be waited for, or cut off.
    ///
    /// The command leads a session of its own: at the time limit, or when the task is cancelled, it and all of
    /// its children that stay in that session get SIGTERM, and SIGKILL two seconds later.
    ///
    /// - Throws: ``TransportError``
    func run(
        _ command: Command,
        input: CommandInput,
        output: CommandOutput,
        error: CommandOutput,
        timeLimit: Duration?
    ) async throws(TransportError) -> CommandResult

    /// Copies a file from this machine to where commands run. It appears whole or not at all.
    ///
    /// - Parameters:
    ///   - permissions: of the new file.
    ///   - progress: called now and then with the bytes copied so far; must not block.
    /// - Throws: ``TransportError``
    func upload(
        _ file: FilePath,
        to destination: FilePath,
        permissions: FilePermissions,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(TransportError)

    /// Copies a file from where commands run to this machine. It appears whole or not at all.
    ///
    /// - Throws: ``TransportError``
    func download(
        _ file: FilePath,
        to destination: FilePath,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(TransportError)

    /// Listens on this machine and passes every connection on, as seen from where commands run.
    ///
    /// - Parameters:
    ///   - localPort: on 127.0.0.1; 0 lets the system choose.
    ///   - target: where connections are passed to.
    /// - Returns: when connections are accepted. It runs until ``PortForward/stop()``.
    /// - Throws: ``TransportError``
    func forward(localPort: Int, to target: ForwardTarget) async throws(TransportError) -> any PortForward

    /// Ends connections that are kept open. Commands that run are ended. Safe to repeat.
    func close() async
}

/// Where a forwarded connection ends.
public enum ForwardTarget: Sendable, Hashable, CustomStringConvertible {
    /// A TCP port.
    case tcp(host: String, port: Int)
    /// A UNIX socket.
    case unix(FilePath)

    public var description: String {
        switch self {
        case .tcp(let host, let port): "\(host):\(port)"
        case .unix(let path): path.string
        }
    }
}

/// A port that is being forwarded.
public protocol PortForward: Sendable {
    /// The port on 127.0.0.1 of this machine.
    var localPort: Int { get }
    /// Closes the port and every connection through it. Safe to repeat.
    func stop() async
}

extension Transport {
    public func forward(localPort: Int, to target: ForwardTarget) async throws(TransportError) -> any PortForward {
        throw TransportError(
            .unsupported,
            subject: "forwarding to \(target)",
            detail: UnsupportedOperation("forward", backend: backendName).description
        )
    }

    public func close() async {}

    /// Runs a command, collects up to 1 MiB of each of its outputs, and throws unless it exits with 0.
    ///
    /// - Throws: ``TransportError``, with the end of the standard error in it.
    @discardableResult
    public func check(
        _ command: Command,
        input: CommandInput = .none,
        timeLimit: Duration? = nil
    ) async throws(TransportError) -> CommandResult {
        let result = try await run(
            command,
            input: input,
            output: .collected(limit: 1 << 20),
            error: .collected(limit: 1 << 20),
            timeLimit: timeLimit
        )
        guard result.status.isSuccess else {
            let lastLines = result.errorText.split(whereSeparator: \.isNewline).suffix(5).joined(separator: "; ")
            throw TransportError(.failed(result.status), command: command, detail: lastLines)
        }
        return result
    }
}

/// Where a transport's commands run.
public enum TransportDestination: Sendable, Hashable {
    /// This machine.
    case thisMachine
    /// Another one.
    case host(RemoteHost)
}

/// Makes transports.
public protocol TransportProvider: BackendProvider {
    /// What its transports can do.
    var capabilities: TransportCapabilities { get }

    /// Makes a transport. A connection is made when it is first needed.
    ///
    /// - Throws: ``UnsupportedOperation`` for a kind of destination that is not this backend's.
    func makeTransport(to destination: TransportDestination) throws -> any Transport
}

extension TransportProvider {
    public var capabilityListing: [Capability] { capabilities.listing }
}
