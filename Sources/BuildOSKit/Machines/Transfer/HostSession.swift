import Glibc
import Synchronization

/// The sender's side of the connection to one host.
final class HostSession: Sendable {
    let target: UploadTarget
    /// Says what happens.
    let report: @Sendable (UploadEvent) -> Void
    private let end: FileDescriptor
    private let connection: FrameConnection
    private let command: Task<Result<CommandResult, TransportError>, Never>
    private let words: LastWords
    private let limiter: RateLimiter?
    private let state = Mutex(State())

    private struct State {
        var hasFailed = false
        var progress = UploadProgress()
        /// Digests of what the host has in its spool, as long as the stream is the same.
        var spooled: [UInt64] = []
    }

    /// Has the host's receiver started.
    ///
    /// - Throws: ``MachineError`` if this machine has no descriptors left.
    init(
        _ target: UploadTarget,
        options: UploadOptions,
        report: @escaping @Sendable (UploadEvent) -> Void
    ) throws(MachineError) {
        let (end, other) = try BlockingIO.pair()
        let words = try LastWords()
        self.target = target
        self.report = report
        self.end = end
        self.words = words
        limiter = options.rateLimit.map { RateLimiter(bytesPerSecond: $0) }
        connection = FrameConnection(input: end, output: end)
        BlockingIO.limitWriting(to: end, options.stallLimit)
        command = Task {
            defer {
                try? other.close()
                words.finish()
            }
            do throws(TransportError) {
                return .success(
                    try await target.transport.run(
                        target.receiver,
                        input: .descriptor(other),
                        output: .descriptor(other),
                        error: .descriptor(words.sink),
                        timeLimit: options.timeLimit
                    )
                )
            } catch {
                return .failure(error)
            }
        }
    }

    /// Whether the host can still be sent to.
    var isAlive: Bool { state.withLock { !$0.hasFailed } }

    /// Ends the connection. The receiver, if it isn't done, ends with it.
    func close() async {
        abort()
        if !isAlive { command.cancel() }
        _ = await command.value
        try? end.close()
    }

    /// Has whatever waits for the host fail; from any thread.
    func abort() { shutdown(end.rawValue, Int32(SHUT_RDWR)) }

    /// Asks what the host has of a machine.
    func inspect(_ machine: MachineName) async throws(MachineError) -> HostInventory {
        try await exchange { (connection) throws(MachineError) in
            let greeting = try connection.message()
            guard case .hello(let versions) = greeting else { throw .unexpected(greeting) }
            guard let version = versions.filter(TransferMessage.versions.contains).max() else {
                throw .otherVersions(versions)
            }
            try connection.write(.message(.open(version: version, volume: self.target.volume, machine: machine)))
            let answer = try connection.message()
            guard case .inventory(let inventory) = answer else { throw .unexpected(answer) }
            return inventory
        }
    }

    /// Measures the way to the host, in bytes a second, with 4 MiB of no meaning.
    func measure() async throws(MachineError) -> Double {
        try await exchange { (connection) throws(MachineError) in
            let (count, size) = (4, 1 << 20)
            let start = ContinuousClock.now
            for _ in 0..<count { try connection.write(.probe(count: size)) }
            for _ in 0..<count {
                let answer = try connection.message()
                guard case .probed = answer else { throw .unexpected(answer) }
            }
            return Double(count * size) / max(1e-6, start.duration(to: .now) / .seconds(1))
        }
    }

    /// Makes an offer. Gives back whether the host wants the stream.
    func begin(_ offer: UploadOffer) async throws(MachineError) -> Bool {
        try await exchange { (connection) throws(MachineError) in
            try connection.write(.message(.begin(offer)))
            while true {
                switch try connection.message() {
                case .step(let step): self.report(.step(step))
                case .ready(wantsStream: false): return false
                case .ready(wantsStream: true):
                    guard case .digests(let digests) = try connection.read() else {
                        throw .badFrame("no list of what is in the spool")
                    }
                    self.state.withLock { $0.spooled = digests }
                    return true
                case let other: throw .unexpected(other)
                }
            }
        }
    }

    /// Waits until the host is done.
    func finish() async throws(MachineError) -> UploadReceipt {
        try await exchange { (connection) throws(MachineError) in
            while true {
                switch try connection.message() {
                case .step(let step): self.report(.step(step))
                case .taken: continue
                case .finished(let receipt): return receipt
                case let other: throw .unexpected(other)
                }
            }
        }
    }

    /// Sends a chunk, or says that the host has it; blocks. A host that fails is passed over from then on: why it did,
    /// ``finish()`` tells.
    func send(_ index: Int, _ digest: UInt64, _ bytes: ArraySlice<UInt8>) {
        guard isAlive else { return }
        let isSpooled = state.withLock { state in
            if index < state.spooled.count, state.spooled[index] == digest { return true }
            if index < state.spooled.count { state.spooled.removeSubrange(index...) }
            return false
        }
        do throws(MachineError) {
            if isSpooled {
                try connection.write(.same(index: index, digest: digest))
            } else {
                try connection.write(.chunk(index: index, digest: digest, bytes: bytes), paced: limiter)
            }
        } catch {
            fail()
            return
        }
        let progress = state.withLock { state in
            if isSpooled {
                state.progress.resumed += Int64(bytes.count)
            } else {
                state.progress.sent += Int64(bytes.count)
            }
            return state.progress
        }
        report(.progress(progress))
    }

    /// Says how many bytes the stream will have.
    func expect(_ total: Int64?) { state.withLock { $0.progress.total = total } }

    /// Says that the stream is over, or that it can't be; blocks.
    func end(_ outcome: Result<(chunks: Int, bytes: Int64), MachineError>) {
        guard isAlive else { return }
        do throws(MachineError) {
            switch outcome {
            case .success(let counts):
                try connection.write(.message(.end(chunks: counts.chunks, bytes: counts.bytes)))
            case .failure(let error):
                try connection.write(.message(.failed(error)))
            }
        } catch {
            fail()
        }
    }

    private func fail() {
        state.withLock { $0.hasFailed = true }
        abort()
    }

    /// Runs one exchange on a thread of its own. Cancelling the task ends the connection.
    private func exchange<Answer: Sendable>(
        _ body: @escaping @Sendable (FrameConnection) throws(MachineError) -> Answer
    ) async throws(MachineError) -> Answer {
        let result: Result<Answer, MachineError> = await withTaskCancellationHandler {
            await DedicatedThread.run(name: "machine-host") {
                Result { () throws(MachineError) in try body(self.connection) }
            }
        } onCancel: {
            abort()
        }
        switch result {
        case .success(let answer): return answer
        case .failure(let error):
            fail()
            throw await explain(error)
        }
    }

    /// Why the connection ended, in the words of who knows best: the host, the transport, the program's error output.
    private func explain(_ error: MachineError) async -> MachineError {
        if Task.isCancelled {
            return MachineError(
                .interrupted,
                target.label,
                cause: "it was interrupted",
                remedy: MachineError.cut.remedy
            )
        }
        guard error == .cut || error.kind == .protocolError else { return error }
        switch await command.value {
        case .failure(let failure):
            // The session was ended for the error at hand.
            return failure.kind == .cancelled ? error : MachineError(failure, subject: target.label)
        case .success(let result) where result.status.isSuccess: return error
        case .success(let result):
            let said = await words.text()
            guard error == .cut || !said.isEmpty else { return error }
            let isMissing = result.status == .exited(127) || said.contains("command not found")
            return MachineError(
                error.kind == .protocolError ? .protocolError : isMissing ? .transport : error.kind,
                target.receiver.description,
                cause: "\(result.status)" + (said.isEmpty ? "" : ": \(said)"),
                remedy: isMissing
                    ? "install Build OS there, or say with --host-program where its buildosctl is" : error.remedy
            )
        }
    }
}

/// The end of what a program wrote to its standard error.
private final class LastWords: Sendable {
    /// Where the program writes to.
    let sink: FileDescriptor
    private let reading: Task<String, Never>
    private let isOpen = Mutex(true)

    init() throws(MachineError) {
        let (source, sink) = try BlockingIO.pair()
        self.sink = sink
        reading = Task {
            await DedicatedThread.run(name: "machine-words") {
                var (kept, buffer) = ([UInt8](), [UInt8](repeating: 0, count: 4096))
                while let count = try? buffer.withUnsafeMutableBytes({ try source.read(into: $0) }), count > 0 {
                    kept = (kept + buffer.prefix(count)).suffix(4096)
                }
                try? source.close()
                let lines = String(decoding: kept, as: UTF8.self).split(whereSeparator: \.isNewline)
                return lines.suffix(5).map { printable(String($0), limit: 300) }.joined(separator: "; ")
            }
        }
    }

    /// To be called when the program has ended.
    func finish() {
        isOpen.withLock { isOpen in
            if isOpen { try? sink.close() }
            isOpen = false
        }
    }

    /// The last lines; known when the program has ended.
    func text() async -> String { await reading.value }
}

extension MachineError {
    fileprivate static func otherVersions(_ versions: [Int]) -> MachineError {
        func list(_ versions: [Int]) -> String { versions.prefix(10).map(String.init).joined(separator: ", ") }
        return MachineError(
            .protocolError,
            "machine protocol",
            cause: "the host speaks version \(list(versions)), this program \(list(TransferMessage.versions))",
            remedy: "use the buildosctl of the host's release"
        )
    }
}
