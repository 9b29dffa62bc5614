import BuildOSKit
import Glibc
import Subprocess
import Synchronization

/// Runs programs on this machine, with swift-subprocess.
public struct LocalTransport: Transport {
    public let backendName = "local"
    public let capabilities = TransportCapabilities(remote: false)

    /// How long a command has between SIGTERM and SIGKILL.
    static let grace: Duration = .seconds(2)

    /// Creates a transport.
    public init() {}

    public func run(
        _ command: Command,
        input: CommandInput,
        output: CommandOutput,
        error: CommandOutput,
        timeLimit: Duration?
    ) async throws(TransportError) -> CommandResult {
        let session = CommandSession(command, isForeground: input.isInherited)
        let end = await withTaskGroup(of: RunEvent.self) { group in
            group.addTask {
                do {
                    return .ended(.success(try await session.run(input: input, output: output, error: error)))
                } catch {
                    return .ended(.failure(session.translate(error)))
                }
            }
            group.addTask {
                guard let timeLimit else {
                    await Self.untilCancelled()
                    return .mustStop(.cancelled)
                }
                do {
                    try await Task.sleep(for: timeLimit)
                    return .mustStop(.timedOut(timeLimit))
                } catch {
                    return .mustStop(.cancelled)
                }
            }
            return await Self.conclude(&group, of: session)
        }
        return try end.get()
    }

    public func upload(
        _ file: FilePath,
        to destination: FilePath,
        permissions: FilePermissions,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(TransportError) {
        try await copy(FileCopy(source: file, destination: destination, permissions: permissions, progress: progress))
    }

    public func download(
        _ file: FilePath,
        to destination: FilePath,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(TransportError) {
        try await copy(FileCopy(source: file, destination: destination, permissions: nil, progress: progress))
    }

    private func copy(_ copy: FileCopy) async throws(TransportError) {
        let isCancelled = Atomic(false)
        let outcome: Result<Void, TransportError> = await withTaskCancellationHandler {
            await DedicatedThread.run(name: "file-copy") {
                Result { () throws(TransportError) in
                    try copy.run { isCancelled.load(ordering: .relaxed) }
                }
            }
        } onCancel: {
            isCancelled.store(true, ordering: .relaxed)
        }
        try outcome.get()
    }

    private enum RunEvent: Sendable {
        case ended(Result<CommandResult, TransportError>)
        case mustStop(TransportError.Kind)
    }

    private static func conclude(
        _ group: inout TaskGroup<RunEvent>,
        of session: CommandSession
    ) async -> Result<CommandResult, TransportError> {
        var reason: TransportError.Kind?
        var sweeper: Task<Void, Never>?
        defer { sweeper?.cancel() }
        while let event = await group.next() {
            switch event {
            case .mustStop(let kind):
                reason = kind
                group.cancelAll()
                // Children that left the command's process group may hold its output open.
                sweeper = Task.detached {
                    guard (try? await Task.sleep(for: grace + .milliseconds(500))) != nil else { return }
                    session.killRemains()
                }
            case .ended(let result):
                group.cancelAll()
                if case .failure = result { session.killRemains() }
                guard let reason else { return result }
                session.killRemains()
                // One that ended before it heard of the cancellation has ended well. At its time limit it was told to end: a
                // status that it then chose itself says nothing of its work.
                if reason == .cancelled, case .success(let success) = result, case .exited = success.status {
                    return result
                }
                return .failure(TransportError(reason, command: session.command))
            }
        }
        return .failure(TransportError(.cancelled, command: session.command))
    }

    private static func untilCancelled() async {
        while (try? await Task.sleep(for: .seconds(86_400))) != nil {}
    }
}

extension CommandInput {
    fileprivate var isInherited: Bool {
        if case .inherited = self { true } else { false }
    }
}

/// Offers ``LocalTransport``.
public struct LocalTransportProvider: TransportProvider {
    public let identity = BackendIdentity(
        name: "local",
        interface: .transport,
        summary: "programs on this machine (swift-subprocess)"
    )
    public let capabilities = TransportCapabilities(remote: false)

    /// Creates a provider.
    public init() {}

    public func preflight() async -> [PreflightFinding] {
        access("/proc/self/stat", R_OK) == 0
            ? []
            : [PreflightFinding(problem: "/proc is not mounted", remedy: "mount -t proc proc /proc")]
    }

    public func makeTransport(to destination: TransportDestination) throws -> any Transport {
        guard destination == .thisMachine else {
            throw UnsupportedOperation("log in to a host", backend: identity.name)
        }
        return LocalTransport()
    }
}
