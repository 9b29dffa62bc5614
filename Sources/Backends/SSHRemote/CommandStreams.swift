import BuildOSKit
import CSSH2
import Glibc

/// The input and the outputs of a command that runs over a channel.
final class CommandStreams {
    private let command: Command
    private let source: StreamSource
    private let output: StreamSink
    private let error: StreamSink
    private let progress: (@Sendable (Int64) -> Void)?
    private var report: StartReport
    private var status: CommandStatus?
    private var isInputEnded = false
    private var isOutputEnded = false
    private var isErrorEnded = false
    private var moved: Int64 = 0
    private var lastErrorBytes: [UInt8] = []

    /// Bytes between two looks at the other channels.
    private static let turn = 512 << 10

    /// - Throws: ``TransportError`` if a file or a descriptor can't be used.
    init(_ job: CommandJob, mark: String) throws(TransportError) {
        command = job.command
        progress = job.progress
        report = StartReport(mark: mark)
        do {
            source = try StreamSource.of(job.input)
            output = try StreamSink(job.output, standard: STDOUT_FILENO)
            error = try StreamSink(job.error, standard: STDERR_FILENO)
        } catch {
            throw TransportError(.inputOutput, command: job.command, detail: "\(error)")
        }
    }

    /// What the host said about the command's start.
    var startEvent: StartReport.Event? { report.event }

    /// Whether the command has ended, and all it wrote is where it belongs.
    var isOver: Bool { status != nil && output.isDrained && error.isDrained }

    /// Why it can't go on on this side.
    var failure: TransportError? {
        if let errno = source.failure {
            return TransportError(.inputOutput, command: command, detail: "its input: \(errno)")
        }
        return switch output.failure ?? error.failure {
        case .tooMuch(let limit): TransportError(.tooMuchOutput(limit: limit), command: command)
        case .system(let errno): TransportError(.inputOutput, command: command, detail: "its output: \(errno)")
        case nil: nil
        }
    }

    var waitsFor: [pollfd] {
        [isInputEnded ? nil : source.waitsFor, output.waitsFor, error.waitsFor].compactMap { $0 }
    }

    /// What came of the command; to be asked when it is over.
    var result: Result<CommandResult, TransportError> {
        switch report.event {
        case .started:
            .success(
                CommandResult(status: status ?? .exited(-1), output: output.collected, error: error.collected)
            )
        case .noProgram: .failure(TransportError(.commandNotFound, command: command))
        case .noPermission: cannotStart("\(command.executable) is not an executable file")
        case .noDirectory: cannotStart("no working directory \(command.workingDirectory?.string ?? "")")
        case nil:
            cannotStart(
                "the log-in shell ended before it, with \(status?.description ?? "no status")"
                    + (lastErrorBytes.isEmpty ? "" : ": \(String(decoding: lastErrorBytes, as: UTF8.self))")
            )
        }
    }

    private func cannotStart(_ detail: String) -> Result<CommandResult, TransportError> {
        .failure(TransportError(.cannotStart, command: command, detail: detail))
    }

    /// Moves bytes both ways, as far as nothing has to be waited for.
    ///
    /// - Returns: whether anything was done.
    func step(_ channel: Channel) throws(ConnectionLoss) -> Bool {
        output.flush()
        error.flush()
        var didWork = false
        if !isOutputEnded, output.wantsMore {
            isOutputEnded = try read(channel, 0, &didWork) { bytes in
                output.take(bytes)
                count(bytes.count)
            }
        }
        if !isErrorEnded, error.wantsMore {
            isErrorEnded = try read(channel, Int32(SSH_EXTENDED_DATA_STDERR), &didWork) { takeError($0) }
        }
        if !output.wantsMore || !error.wantsMore { try channel.pump() }
        if status == nil, isOutputEnded, isErrorEnded, try channel.isClosed() {
            status = channel.status
            takeError(beforeStart: report.finish())
            source.finish()
            isInputEnded = true
            didWork = true
        }
        if !isInputEnded { try send(channel, &didWork) }
        return didWork
    }

    /// Drops what is still to be read and written: the command is being ended.
    func abandon() {
        source.finish()
        output.discard()
        error.discard()
    }

    /// Ends last lines and closes what was opened.
    func finish() {
        source.finish()
        output.finish()
        error.finish()
    }

    private func send(_ channel: Channel, _ didWork: inout Bool) throws(ConnectionLoss) {
        let buffers = channel.session.buffers
        var total = 0
        while total < Self.turn, !buffers.isFull {
            source.fill()
            var outcome = Channel.Outcome.again
            try source.give { bytes throws(ConnectionLoss) in
                guard bytes.count > 0 else { return 0 }
                outcome = try channel.write(bytes)
                if case .done(let count) = outcome { return count }
                return 0
            }
            if case .done(let count) = outcome, count > 0 {
                total += count
                continue
            }
            if case .denied = outcome { source.finish() }
            break
        }
        if total > 0 {
            didWork = true
            count(total)
        }
        if source.isAtEnd {
            if case .again = try channel.sendEnd() { return }
            isInputEnded = true
            didWork = true
        }
    }

    private func count(_ bytes: Int) {
        moved += Int64(bytes)
        progress?(moved)
    }

    private func takeError(_ bytes: UnsafeRawBufferPointer) {
        if report.event != nil { return error.take(bytes) }
        takeError(beforeStart: report.feed(bytes))
    }

    private func takeError(beforeStart bytes: [UInt8]) {
        lastErrorBytes = Array((lastErrorBytes + bytes).suffix(1024))
        bytes.withUnsafeBytes { error.take($0) }
    }

    /// - Returns: whether the stream has ended.
    private func read(
        _ channel: Channel,
        _ stream: Int32,
        _ didWork: inout Bool,
        _ take: (UnsafeRawBufferPointer) -> Void
    ) throws(ConnectionLoss) -> Bool {
        let buffer = channel.session.readBuffer
        var total = 0
        while total < Self.turn {
            switch try channel.read(stream, into: buffer) {
            case .again: return false
            case .denied: return true
            case .done(let count):
                if count == 0 { return true }
                take(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                total += count
                didWork = true
            }
        }
        return false
    }
}
