import Glibc

/// A guest's serial console, at the end of a UNIX socket on a host, which takes one client at a time.
public struct SerialConsole: Sendable {
    private let transport: any Transport
    private let socket: FilePath

    /// Creates a console.
    ///
    /// - Parameter transport: runs socat(1) where the socket is.
    public init(transport: any Transport, socket: FilePath) {
        self.transport = transport
        self.socket = socket
    }

    /// Whether somebody is connected already, who would keep others waiting without a word.
    ///
    /// - Parameter listing: what the monitor of the same machine says to `info chardev`.
    /// - Throws: ``MachineError`` of kind `notFound` if the machine has no such socket.
    public func isTaken(in listing: String) throws(MachineError) -> Bool {
        for line in listing.split(whereSeparator: \.isNewline) where line.contains("unix:\(socket),") {
            return !line.contains("disconnected:")
        }
        throw MachineError(
            .notFound,
            "console \(socket)",
            cause: "the machine that runs has no such socket",
            remedy: "see its screen, without --serial"
        )
    }

    /// How a conversation ended.
    public enum Ending: Sendable, Hashable {
        /// The operator left: by ``ConsoleEscape``, because the terminal is gone, or because the task was cancelled.
        case left
        /// The guest's machine has ended.
        case machineEnded
    }

    /// Joins the console to two descriptors until one side ends it, or the task is cancelled.
    ///
    /// - Parameters:
    ///   - input: what is typed. Its end leaves if it is a terminal's; else the console is listened to further.
    ///   - output: where what the guest says goes.
    ///   - isTerminal: whether `input` is a terminal in raw mode, where ``ConsoleEscape`` is heeded.
    /// - Throws: ``MachineError``
    public func run(
        input: FileDescriptor,
        output: FileDescriptor,
        isTerminal: Bool
    ) async throws(MachineError) -> Ending {
        let link: TypingLink
        do throws(Errno) {
            link = try TypingLink(from: input, isTerminal: isTerminal)
        } catch {
            throw MachineError(.transport, "console \(socket)", cause: "no sockets: \(error)")
        }
        let typing = Task { await DedicatedThread.run(name: "console-input") { link.pump() } }
        let program = Command("socat", ["-t", "0.1", "-", "UNIX-CONNECT:\(socket)"])
        let outcome: Result<CommandResult, TransportError>
        do throws(TransportError) {
            outcome = .success(
                try await transport.run(
                    program,
                    input: .descriptor(link.farEnd),
                    output: .descriptor(output),
                    error: .collected(limit: 64 << 10),
                    timeLimit: nil
                )
            )
        } catch {
            outcome = .failure(error)
        }
        link.stop()
        let hasLeft = await typing.value
        if Task.isCancelled { return .left }
        switch outcome {
        case .success(let result) where result.status.isSuccess: return hasLeft ? .left : .machineEnded
        case .success(let result):
            throw MachineError(
                .notFound,
                "console \(socket)",
                cause: "nobody answers there: \(printable(result.errorText, limit: 300))",
                remedy: "see which builds run with 'buildosctl machine list'"
            )
        case .failure(let error): throw MachineError(error, subject: socket.string)
        }
    }
}

/// Passes on what is typed, on a thread of its own, through sockets: pipes can't be made close-on-exec from Swift.
private final class TypingLink: Sendable {
    /// What the program at the other end reads.
    let farEnd: FileDescriptor
    private let nearEnd: FileDescriptor
    private let input: FileDescriptor
    private let isTerminal: Bool
    private let signal: StopSignal

    init(from input: FileDescriptor, isTerminal: Bool) throws(Errno) {
        signal = try StopSignal()
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw Errno(rawValue: errno)
        }
        nearEnd = FileDescriptor(rawValue: ends[0])
        farEnd = FileDescriptor(rawValue: ends[1])
        self.input = input
        self.isTerminal = isTerminal
    }

    deinit {
        try? nearEnd.close()
        try? farEnd.close()
    }

    func stop() { signal.raise() }

    /// Blocks until the input has ended; says whether the operator has left.
    func pump() -> Bool {
        let reader = StreamReader(input, stop: signal)
        let writer = StreamWriter(nearEnd, stop: signal)
        var escape = ConsoleEscape()
        var buffer = [UInt8](repeating: 0, count: 4096)
        do throws(StreamFailure) {
            while true {
                let read: Result<Int, StreamFailure> = buffer.withUnsafeMutableBytes { buffer in
                    Result { () throws(StreamFailure) in try reader.read(into: buffer) }
                }
                let count = try read.get()
                guard count > 0 else { break }
                guard isTerminal else {
                    try writer.write(Array(buffer[..<count]))
                    continue
                }
                let (passed, leaves) = escape.take(buffer[..<count])
                try writer.write(passed)
                if leaves { break }
            }
        } catch .stopped, .closed {
            return false
        } catch {
            // A terminal that is gone (EIO).
        }
        guard isTerminal else { return false }
        shutdown(nearEnd.rawValue, Int32(SHUT_WR))
        return true
    }
}
