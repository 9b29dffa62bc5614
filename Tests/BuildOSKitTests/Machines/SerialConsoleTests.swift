import ArgumentParser
import BuildOSKit
import Glibc
import LocalTransport
import TestSupport
import Testing

@testable import BuildOSCommands

@Suite("MACH-7: a guest's serial console") struct SerialConsoleTests {
    @Test(
        "what is typed goes to the guest, but for the ways to leave",
        arguments: [
            ("", "", false), ("ls\r", "ls\r", false), ("~.", "", true), ("ls\r~.x", "ls\r", true),
            ("ls\n~.", "ls\n", true), ("ls ~.\r", "ls ~.\r", false), ("~~.", "~.", false), ("~~~.", "~~.", false),
            ("~x~.", "~x~.", false), ("~\r~.", "~\r", true), ("~", "", false), ("ls\u{1d}x", "ls", true),
            ("~\u{1d}", "", true), ("\u{3}\u{4}\u{1b}[A", "\u{3}\u{4}\u{1b}[A", false), ("\r\r~~\r~.", "\r\r~\r", true),
        ] as [(String, String, Bool)]
    )
    func escape(typed: String, passed: String, leaves: Bool) {
        var whole = ConsoleEscape()
        let outcome = whole.take(typed.utf8)
        #expect(String(decoding: outcome.passed, as: UTF8.self) == passed && outcome.leaves == leaves)

        var bitwise = ConsoleEscape()
        var bytes: [UInt8] = []
        var hasLeft = false
        for byte in typed.utf8 where !hasLeft {
            let step = bitwise.take([byte])
            bytes += step.passed
            hasLeft = step.leaves
        }
        #expect(String(decoding: bytes, as: UTF8.self) == passed && hasLeft == leaves)
    }

    @Test("whether somebody is connected is what the monitor says, of this very socket")
    func taken() throws {
        // What QEMU 7.2 says.
        let listing = """
            hmp: filename=unix:/tmp/monitor-default-1,server=on
            serial: filename=disconnected:unix:/tmp/serial-default-1,server=on
            other: filename=unix:/tmp/serial-default-12,server=on
            """
        func console(_ path: FilePath) -> SerialConsole { SerialConsole(transport: LocalTransport(), socket: path) }
        #expect(try console("/tmp/serial-default-1").isTaken(in: listing) == false)
        #expect(try console("/tmp/serial-default-12").isTaken(in: listing) == true)
        let error = #expect(throws: MachineError.self) { try console("/tmp/serial-default-2").isTaken(in: listing) }
        #expect(error?.kind == .notFound)
    }

    @Test("a terminal: every key goes through, ~. leaves, and the terminal is as it was")
    func terminal() async throws {
        try await Self.withGuest { console, guest in
            let terminal = try PseudoTerminal()
            let before = try terminal.settings()
            let serving = Task { await DedicatedThread.run(name: "guest") { guest.answer(times: 1) } }
            let ending = try await RawTerminal.during(terminal.end) {
                let during = try terminal.settings()
                #expect(during.c_lflag & tcflag_t(ICANON | ECHO | ISIG) == 0 && during.c_oflag & tcflag_t(OPOST) == 0)
                try terminal.controller.writeAll("ab\u{3}\u{11}\r".utf8)
                let leaving = Task {
                    // Typed when the answer has come: what follows a way to leave may cut off what is still under way.
                    let heard = await DedicatedThread.run(name: "operator") { terminal.readLine() }
                    try terminal.controller.writeAll("~.".utf8)
                    return heard
                }
                let ending = try await console.run(input: terminal.end, output: terminal.end, isTerminal: true)
                #expect(try await leaving.value == "heard ab\u{3}\u{11}\r\n")
                return ending
            }
            #expect(ending == .left)
            let after = try terminal.settings()
            #expect(after.c_lflag == before.c_lflag && after.c_iflag == before.c_iflag)
            #expect(after.c_oflag == before.c_oflag && after.c_lflag & tcflag_t(ICANON) != 0)
            #expect(await serving.value == ["ab\u{3}\u{11}\r"])
        }
    }

    @Test("the terminal is as it was after an error too, and what is no terminal is left alone")
    func restored() async throws {
        let terminal = try PseudoTerminal()
        await #expect(throws: Errno.ioError) { try await RawTerminal.during(terminal.end) { throw Errno.ioError } }
        #expect(try terminal.settings().c_lflag & tcflag_t(ICANON) != 0)
        let null = try FileDescriptor.open("/dev/null", .readOnly, options: .closeOnExec)
        defer { try? null.close() }
        #expect(try await RawTerminal.during(null) { 1 } == 1)
    }

    @Test("without a terminal nothing is an escape, and the end of the input does not end it: the guest's does")
    func script() async throws {
        try await Self.withGuest { console, guest in
            try await withTemporaryDirectory { directory in
                try FileTree.write("~.\u{1d}\n", to: directory.appending("input"))
                let input = try FileDescriptor.open(directory.appending("input"), .readOnly, options: .closeOnExec)
                defer { try? input.close() }
                let output = try FileDescriptor.open(
                    directory.appending("output"),
                    .writeOnly,
                    options: [.create, .closeOnExec],
                    permissions: .ownerReadWrite
                )
                defer { try? output.close() }
                let serving = Task {
                    await DedicatedThread.run(name: "guest") { guest.answer(times: 1, thenCloses: true) }
                }
                #expect(try await console.run(input: input, output: output, isTerminal: false) == .machineEnded)
                #expect(await serving.value == ["~.\u{1d}\n"])
                #expect(try FileTree.readText(directory.appending("output")) == "heard ~.\u{1d}\n\n")
            }
        }
    }

    @Test("who is interrupted has left; where nobody listens there is no console")
    func interrupted() async throws {
        let null = try FileDescriptor.open("/dev/null", .readWrite, options: .closeOnExec)
        defer { try? null.close() }
        try await Self.withGuest { console, guest in
            let (input, hand) = try Self.pair()
            defer { for end in [input, hand] { try? end.close() } }
            try hand.writeAll("x\n".utf8)
            let talking = Task { try await console.run(input: input, output: null, isTerminal: false) }
            let client = await DedicatedThread.run(name: "guest") { guest.hear("x\n") }
            defer { close(client) }
            talking.cancel()
            #expect(try await talking.value == .left)
        }
        let nowhere = SerialConsole(transport: LocalTransport(), socket: "/nonexistent/serial")
        let error = await #expect(throws: MachineError.self) {
            try await nowhere.run(input: null, output: null, isTerminal: false)
        }
        #expect(error?.kind == .notFound && error?.cause.contains("No such file") == true)
    }

    @Test("options of the screen are refused with --serial", arguments: ["--print", "--port 5901", "--viewer x"])
    func options(option: String) {
        let line = ["machine", "login", "default-1", "--serial"]
        #expect(throws: Never.self) { try BuildOSControl.parseAsRoot(line) }
        #expect(throws: (any Error).self) {
            try BuildOSControl.parseAsRoot(line + option.split(separator: " ").map(String.init))
        }
    }

    private static func withGuest(_ body: (SerialConsole, ListeningGuest) async throws -> Void) async throws {
        guard Requirements.isMet(FileTree.exists("/usr/bin/socat"), "no socat: apt install socat") else { return }
        try await withTemporaryDirectory { directory in
            let guest = try ListeningGuest(directory.appending("serial"))
            try await body(SerialConsole(transport: LocalTransport(), socket: directory.appending("serial")), guest)
        }
    }

    private static func pair() throws(Errno) -> (FileDescriptor, FileDescriptor) {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw Errno(rawValue: errno)
        }
        return (FileDescriptor(rawValue: ends[0]), FileDescriptor(rawValue: ends[1]))
    }
}

/// A fake on purpose, for what a real guest does at no certain time: it answers lines at the end of a socket, and ends.
private final class ListeningGuest: Sendable {
    private let listener: Int32

    init(_ path: FilePath) throws(Errno) {
        listener = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.string.utf8.prefix($0.count - 1)) }
        let isBound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
        var patience = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        guard isBound, listen(listener, 1) == 0 else { throw Errno(rawValue: errno) }
    }

    deinit { close(listener) }

    /// Takes a client and waits for a text from it; gives back its descriptor.
    func hear(_ text: String) -> Int32 {
        let client = accept(listener, nil, nil)
        var buffer = [UInt8](repeating: 0, count: text.utf8.count)
        _ = recv(client, &buffer, buffer.count, Int32(MSG_WAITALL))
        return client
    }

    /// Answers so many lines of one client, and then waits until that leaves unless it is to end first.
    func answer(times: Int, thenCloses: Bool = false) -> [String] {
        let client = accept(listener, nil, nil)
        defer { close(client) }
        var lines: [String] = []
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while lines.count < times || !thenCloses, recv(client, &byte, 1, 0) == 1 {
            line.append(byte)
            guard byte == UInt8(ascii: "\r") || byte == UInt8(ascii: "\n") else { continue }
            lines.append(String(decoding: line, as: UTF8.self))
            let answer = Array("heard \(lines.last ?? "")\n".utf8)
            _ = send(client, answer, answer.count, Int32(MSG_NOSIGNAL))
            line = []
        }
        return lines
    }
}

/// A terminal whose operator is a test (pty(7)).
private final class PseudoTerminal: Sendable {
    /// The operator's side.
    let controller: FileDescriptor
    /// The program's side.
    let end: FileDescriptor

    init() throws {
        // Glibc's Swift module has neither posix_openpt(3) and its friends nor these macros (ioctl_tty(2)).
        let (lock, getNumber): (UInt, UInt) = (0x4004_5431, 0x8004_5430)
        controller = try .open("/dev/ptmx", .readWrite, options: [.closeOnExec])
        var (locked, number): (CInt, CUnsignedInt) = (0, 0)
        guard ioctl(controller.rawValue, lock, &locked) == 0, ioctl(controller.rawValue, getNumber, &number) == 0 else {
            throw Errno(rawValue: errno)
        }
        let other = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
        guard other >= 0 else { throw Errno(rawValue: errno) }
        end = FileDescriptor(rawValue: other)
    }

    deinit {
        try? controller.close()
        try? end.close()
    }

    func settings() throws(Errno) -> termios {
        var settings = termios()
        guard tcgetattr(end.rawValue, &settings) == 0 else { throw Errno(rawValue: errno) }
        return settings
    }

    /// What comes until the end of a line, or until nothing has come for long.
    func readLine() -> String {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        var state = pollfd(fd: controller.rawValue, events: Int16(POLLIN), revents: 0)
        while bytes.last != UInt8(ascii: "\n"), poll(&state, 1, 30_000) > 0,
            Glibc.read(controller.rawValue, &byte, 1) == 1
        {
            bytes.append(byte)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
