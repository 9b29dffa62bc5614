import BuildOSKit
import Glibc
import Subprocess
import Synchronization

/// One run of one command: its process, the session it leads, the pumps of its output.
final class CommandSession: Sendable {
    let command: Command
    /// Whether it stays in the terminal's foreground group, so that it can read from the operator.
    private let isForeground: Bool
    private let processID = Mutex<pid_t?>(nil)

    init(_ command: Command, isForeground: Bool) {
        self.command = command
        self.isForeground = isForeground
    }

    func run(input: CommandInput, output: CommandOutput, error: CommandOutput) async throws -> CommandResult {
        switch input {
        case .bytes(let bytes):
            let descriptor = try anonymousFile(bytes)
            return try await run(
                subprocessInput: .fileDescriptor(descriptor, closeAfterSpawningProcess: true),
                output: output,
                error: error
            )
        case .none:
            return try await run(subprocessInput: .none, output: output, error: error)
        case .inherited:
            return try await run(subprocessInput: .currentStandardInput, output: output, error: error)
        case .descriptor(let descriptor):
            return try await run(
                subprocessInput: .fileDescriptor(try descriptor.duplicate(), closeAfterSpawningProcess: true),
                output: output,
                error: error
            )
        case .file(let path):
            let descriptor = try open(path, .readOnly)
            return try await run(
                subprocessInput: .fileDescriptor(descriptor, closeAfterSpawningProcess: true),
                output: output,
                error: error
            )
        }
    }

    private func run<Input: InputProtocol>(
        subprocessInput: Input,
        output: CommandOutput,
        error: CommandOutput
    ) async throws -> CommandResult {
        if let (outputDescriptor, errorDescriptor) = try Self.descriptors(output, error) {
            let result = try await Subprocess.run(
                configuration,
                input: subprocessInput,
                output: .fileDescriptor(outputDescriptor, closeAfterSpawningProcess: true),
                error: .fileDescriptor(errorDescriptor, closeAfterSpawningProcess: true)
            ) { execution in
                self.started(execution.processIdentifier.value)
            }
            return CommandResult(status: CommandStatus(result.terminationStatus))
        }
        let result = try await Subprocess.run(
            configuration,
            input: subprocessInput,
            output: .sequence,
            error: .sequence
        ) { execution in
            self.started(execution.processIdentifier.value)
            // Whichever fails first ends the other, which may never end by itself.
            return try await withThrowingTaskGroup(of: (isError: Bool, bytes: [UInt8]).self) { group in
                let (outputChunks, errorChunks) = (execution.standardOutput, execution.standardError)
                group.addTask { (false, try await self.pump(outputChunks, to: output, standard: 1)) }
                group.addTask { (true, try await self.pump(errorChunks, to: error, standard: 2)) }
                var both: (output: [UInt8], error: [UInt8]) = ([], [])
                for try await (isError, bytes) in group {
                    if isError { both.error = bytes } else { both.output = bytes }
                }
                return both
            }
        }
        return CommandResult(
            status: CommandStatus(result.terminationStatus),
            output: result.closureResult.0,
            error: result.closureResult.1
        )
    }

    /// What to give to the process where neither stream needs reading by us.
    private static func descriptors(
        _ output: CommandOutput,
        _ error: CommandOutput
    ) throws -> (FileDescriptor, FileDescriptor)? {
        guard let first = try output.descriptor(standard: 1) else { return nil }
        do {
            if let second = try error.descriptor(standard: 2) { return (first, second) }
        } catch {
            try? first.close()
            throw error
        }
        try? first.close()
        return nil
    }

    private func pump(
        _ chunks: SubprocessOutputSequence,
        to destination: CommandOutput,
        standard: Int32
    ) async throws -> [UInt8] {
        var collected: [UInt8] = []
        var lines = LineSplitter()
        let descriptor = try destination.descriptor(standard: standard)
        defer { if let descriptor { try? descriptor.close() } }
        for try await chunk in chunks {
            try chunk.withUnsafeBytes { bytes in
                switch destination {
                case .discarded: break
                case .collected(let limit):
                    guard collected.count + bytes.count <= limit else {
                        throw TransportError(.tooMuchOutput(limit: limit), command: command)
                    }
                    collected.append(contentsOf: bytes)
                case .lines(let handler): lines.feed(bytes, handler)
                case .appended, .inherited, .descriptor: try descriptor?.writeAll(bytes)
                }
            }
        }
        if case .lines(let handler) = destination { lines.finish(handler) }
        return collected
    }

    private var configuration: Configuration {
        var options = PlatformOptions()
        options.createSession = !isForeground
        options.teardownSequence = [
            .send(
                signal: .terminate,
                toProcessGroup: !isForeground,
                allowedDurationToNextStep: LocalTransport.grace
            )
        ]
        var changes: [Environment.Key: String?] = [:]
        for (name, value) in command.environment {
            if let key = Environment.Key(rawValue: name) { changes.updateValue(value, forKey: key) }
        }
        return Configuration(
            executable: executable,
            arguments: Arguments(
                executablePathOverride: command.executable,
                remainingValues: command.arguments
            ),
            environment: .inherit.updating(changes),
            workingDirectory: command.workingDirectory,
            platformOptions: options
        )
    }

    /// The program. It is looked for here: swift-subprocess would fork for every directory of the search path.
    private var executable: Executable {
        let name = command.executable
        if name.contains("/") { return .path(FilePath(name)) }
        let path = (command.environment["PATH"] ?? HostProcess.environmentVariable("PATH")) ?? ""
        for directory in path.split(separator: ":") where directory.hasPrefix("/") {
            let file = FilePath(String(directory)).appending(name)
            if access(file.string, X_OK) == 0, !FileTree.isDirectory(file) { return .path(file) }
        }
        return .name(name)
    }

    private func started(_ process: pid_t) { processID.withLock { $0 = process } }

    /// Kills whatever is left of the session that the command led.
    func killRemains() {
        guard !isForeground, let session = processID.withLock({ $0 }) else { return }
        for _ in 0..<20 {
            let members = SessionMembers.of(session)
            if members.isEmpty { return }
            for member in members { kill(member, SIGKILL) }
            usleep(5_000)
        }
    }

    func translate(_ error: any Error) -> TransportError {
        if let error = error as? TransportError { return error }
        guard let error = error as? SubprocessError else {
            return TransportError(.inputOutput, command: command, detail: "\(error)")
        }
        let detail = error.underlyingError.map { "\($0)" } ?? ""
        return switch error.code {
        case .executableNotFound: TransportError(.commandNotFound, command: command)
        case .spawnFailed: TransportError(.cannotStart, command: command, detail: detail)
        case .failedToChangeWorkingDirectory:
            TransportError(
                .cannotStart,
                command: command,
                detail: "no working directory \(command.workingDirectory?.string ?? "")"
            )
        default: TransportError(.inputOutput, command: command, detail: "\(error)")
        }
    }

    /// A file without a name that holds the bytes. Not a pipe: swift-subprocess 1.0 ends this process when a program
    /// ends without having read all that was written to it.
    private func anonymousFile(_ bytes: [UInt8]) throws -> FileDescriptor {
        let name = FilePath("/tmp/buildos-input-\(getpid())-\(UInt64.random(in: .min ... .max))")
        let descriptor: FileDescriptor
        do {
            descriptor = try FileDescriptor.open(
                name,
                .readWrite,
                options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: .ownerReadWrite
            )
        } catch {
            throw TransportError(.inputOutput, command: command, detail: "\(name): \(error)")
        }
        unlink(name.string)
        do {
            try descriptor.writeAll(bytes)
            _ = try descriptor.seek(offset: 0, from: .start)
        } catch {
            try? descriptor.close()
            throw error
        }
        return descriptor
    }

    private func open(_ path: FilePath, _ mode: FileDescriptor.AccessMode) throws -> FileDescriptor {
        do {
            return try FileDescriptor.open(path, mode, options: .closeOnExec)
        } catch {
            throw TransportError(.inputOutput, command: command, detail: "\(path): \(error)")
        }
    }
}

extension CommandOutput {
    /// A descriptor of its own to give to the process, where the output needs no reading by us.
    fileprivate func descriptor(standard: Int32) throws -> FileDescriptor? {
        switch self {
        case .collected, .lines: nil
        case .discarded: try FileDescriptor.open("/dev/null", .writeOnly, options: .closeOnExec)
        case .appended(let path):
            try FileDescriptor.open(
                path,
                .writeOnly,
                options: [.append, .create, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead, .otherRead]
            )
        case .descriptor(let descriptor): try descriptor.duplicate()
        case .inherited: try FileDescriptor(rawValue: standard).duplicate()
        }
    }
}

extension CommandStatus {
    fileprivate init(_ status: TerminationStatus) {
        self =
            switch status {
            case .exited(let code): .exited(code)
            case .signaled(let signal): .signalled(signal)
            }
    }
}
