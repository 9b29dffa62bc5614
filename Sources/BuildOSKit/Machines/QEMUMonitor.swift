import Glibc

/// An instance of a toolchain's agent on a host, whose virtual machine can be looked at: `<toolchain>-<instance>` (MACH-7),
/// with `-<k>` behind it for its k-th auxiliary machine.
public struct AgentInstance: Sendable, Hashable, CustomStringConvertible {
    /// The toolchain.
    public let toolchain: ToolchainName
    /// The instance, from 1.
    public let instance: Int
    /// Which of its auxiliary machines, from 1 to 9; 0 for its build machine.
    public let auxiliary: Int

    /// Parses `<toolchain>-<instance>[-<auxiliary>]`.
    ///
    /// - Throws: ``MachineError`` of kind `invalid`.
    public init(_ text: String) throws(MachineError) {
        func fail(_ cause: String) -> MachineError {
            MachineError(
                .invalid,
                "instance '\(printable(text))'",
                cause: cause,
                remedy: "give it as <toolchain>-<instance>, such as default-1"
            )
        }
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2 || parts.count == 3 else { throw fail("it is not two or three parts joined by '-'") }
        do throws(InvalidValue) {
            toolchain = try ToolchainName(String(parts[0]))
        } catch {
            throw fail(error.cause)
        }
        guard let instance = MachineRevision.number(parts[1]), (1...99).contains(instance) else {
            throw fail("the instance is not a number from 1 to 99")
        }
        self.instance = instance
        let auxiliary = parts.count == 3 ? MachineRevision.number(parts[2]) : 0
        guard let auxiliary, parts.count == 2 || (1...GuestNumber.maximumAuxiliaries).contains(auxiliary) else {
            throw fail("the auxiliary machine is not a number from 1 to \(GuestNumber.maximumAuxiliaries)")
        }
        self.auxiliary = auxiliary
    }

    public var description: String { "\(toolchain)-\(instance)" + (auxiliary == 0 ? "" : "-\(auxiliary)") }

    /// The socket of the virtual machine's monitor on the host.
    public var monitorSocket: FilePath { FilePath("/tmp/monitor-\(self)") }

    /// The socket of the virtual machine's serial port on the host.
    public var serialSocket: FilePath { FilePath("/tmp/serial-\(self)") }
}

/// QEMU's monitor for people (qemu(1), "-monitor"; QEMU's documentation, "QEMU Monitor"), at the end of a UNIX socket on
/// a host.
public struct QEMUMonitor: Sendable {
    private let transport: any Transport
    private let socket: FilePath

    /// Creates a monitor.
    ///
    /// - Parameter transport: runs socat(1) where the socket is.
    public init(transport: any Transport, socket: FilePath) {
        self.transport = transport
        self.socket = socket
    }

    /// Has a command done; gives back what the monitor said to it.
    ///
    /// - Throws: ``MachineError``
    public func run(_ command: String) async throws(MachineError) -> String {
        guard !command.isEmpty, command.utf8.count <= 1024,
            command.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7f })
        else {
            throw MachineError(
                .invalid,
                "monitor command '\(printable(command))'",
                cause: "it is empty, too long, or holds a control character",
                remedy: "give one command of QEMU's monitor, such as cont or system_powerdown"
            )
        }
        let program = Command("socat", ["-t", "0.1", "-", "UNIX-CONNECT:\(socket)"])
        let talk: MonitorTalk
        do throws(Errno) { talk = try MonitorTalk(command) } catch {
            throw MachineError(.transport, "monitor \(socket)", cause: "no sockets: \(error)")
        }
        do throws(TransportError) {
            let listening = Task { await DedicatedThread.run(name: "monitor-answer") { talk.listen() } }
            let outcome: Result<CommandResult, TransportError>
            do throws(TransportError) {
                outcome = .success(
                    try await transport.run(
                        program,
                        input: .descriptor(talk.farEnd),
                        output: .descriptor(talk.farEnd),
                        error: .collected(limit: 64 << 10),
                        timeLimit: .seconds(30)
                    )
                )
            } catch {
                outcome = .failure(error)
            }
            talk.end()
            let text = await listening.value
            let result = try outcome.get()
            guard result.status.isSuccess else {
                throw TransportError(.failed(result.status), command: program, detail: printable(result.errorText))
            }
            return Self.answer(in: text, to: command)
        } catch {
            guard case .failed = error.kind else { throw MachineError(error, subject: socket.string) }
            throw MachineError(
                .notFound,
                "monitor \(socket)",
                cause: "nobody answers there: \(error.detail)",
                remedy: "see which builds run with 'buildosctl machine list'"
            )
        }
    }

    /// What the monitor is ready with for the next command.
    static let prompt = "(qemu) "

    /// What stands between a command, which the monitor repeats, and its next prompt.
    static func answer(in text: String, to command: String) -> String {
        let plain = withoutEscapes(text)
        guard let echo = plain.firstRange(of: prompt) else { return plain.trimmedLines }
        var rest = plain[echo.upperBound...]
        if let newline = rest.firstIndex(where: \.isNewline) {
            rest = rest[rest.index(after: newline)...]
        } else {
            rest = ""
        }
        if let next = rest.firstRange(of: prompt) { rest = rest[..<next.lowerBound] }
        return String(rest).trimmedLines
    }

    /// Without the control sequences by which its line editor moves the cursor (ECMA-48, CSI).
    private static func withoutEscapes(_ text: String) -> String {
        var (result, rest) = ("", text.unicodeScalars[...])
        while let scalar = rest.popFirst() {
            if scalar.value == 0x1b {
                if rest.first == "[" {
                    rest.removeFirst()
                    while let next = rest.popFirst(), !(0x40...0x7e).contains(next.value) {}
                }
            } else if scalar == "\n" || scalar.value >= 0x20 {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// The port of the VNC server in what `info vnc` says; `nil` if there is none.
    public static func vncPort(in answer: String) -> Int? {
        for line in answer.split(whereSeparator: \.isNewline) {
            guard let server = line.firstRange(of: "Server: ") else { continue }
            let address = line[server.upperBound...].prefix { $0 != " " }
            guard let colon = address.lastIndex(of: ":"),
                let port = UInt16(address[address.index(after: colon)...]), port > 0
            else { continue }
            return Int(port)
        }
        return nil
    }
}

extension String {
    fileprivate var trimmedLines: String {
        split(whereSeparator: \.isNewline).map { String($0) }.joined(separator: "\n")
    }
}

/// One question to a monitor, through sockets: the monitor does not say when it has said all, but asks for the next.
private final class MonitorTalk: Sendable {
    /// What the program at the other end reads and writes.
    let farEnd: FileDescriptor
    private let nearEnd: FileDescriptor

    private static let maximumAnswer = 1 << 20

    /// Has a command wait to be read.
    init(_ command: String) throws(Errno) {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw Errno(rawValue: errno)
        }
        nearEnd = FileDescriptor(rawValue: ends[0])
        farEnd = FileDescriptor(rawValue: ends[1])
        do { _ = try nearEnd.writeAll("\(command)\n".utf8) } catch { throw error as? Errno ?? .ioError }
    }

    deinit {
        try? nearEnd.close()
        try? farEnd.close()
    }

    /// Blocks until the answer is there, or ``end()``; then has the program at the other end leave.
    func listen() -> String {
        let prompt = Array(QEMUMonitor.prompt.utf8)
        var (text, prompts, seen) = ([UInt8](), 0, 0)
        var buffer = [UInt8](repeating: 0, count: 4096)
        while prompts < 2, text.count < Self.maximumAnswer {
            guard let count = try? buffer.withUnsafeMutableBytes({ try nearEnd.read(into: $0) }), count > 0 else {
                break
            }
            text += buffer[..<count]
            while let next = text[seen...].firstRange(of: prompt) {
                seen = next.upperBound
                prompts += 1
            }
        }
        shutdown(nearEnd.rawValue, Int32(SHUT_WR))
        return String(decoding: text, as: UTF8.self)
    }

    /// Nothing more comes.
    func end() { shutdown(nearEnd.rawValue, Int32(SHUT_RDWR)) }
}
