import BuildOSConformance
import BuildOSKit
import Glibc
import LocalTransport
import TestSupport
import Testing

@Suite("Logging in to a machine: a real QEMU, over a real sshd") struct MachineLoginTests {
    @Test("MACH-7: its screen comes through the tunnel; its monitor suspends, resumes and resets it")
    func login() async throws {
        guard Requirements.isMet(FileTree.exists(LinkedControl.program), "there is no \(LinkedControl.program)") else {
            return
        }
        let transport = LocalTransport()
        let instance = "t\(UInt32.random(in: .min ... .max))-1"
        let socket = FilePath("/tmp/monitor-\(instance)")
        // Returns when its sockets are there.
        try await transport.check(
            Command(
                "qemu-system-x86_64",
                [
                    "-machine", "pc,accel=tcg", "-m", "32", "-nodefaults", "-vga", "std", "-vnc", "127.0.0.1:40,to=99",
                    "-monitor", "unix:\(socket),server=on,wait=off", "-daemonize",
                ]
            )
        )
        let machine = QEMUMonitor(transport: transport, socket: socket)
        do {
            try await withSSHServer(by: transport) { server in
                try await look(instance, Control(server: server, transport: transport))
            }
        } catch {
            _ = try? await machine.run("quit")
            throw error
        }
        _ = try? await machine.run("quit")
        try FileTree.remove(socket)
        await expectError("monitor \(socket): nobody answers there", contains: true) { try await machine.run("cont") }
    }

    private func look(_ instance: String, _ control: Control) async throws {
        #expect(try await control.run(["monitor", instance, "info", "status"]) == "VM status: running\n")
        #expect(try await control.run(["monitor", instance, "stop"]).isEmpty)
        #expect(try await control.run(["monitor", instance, "info", "status"]) == "VM status: paused\n")

        let (lines, continuation) = AsyncStream.makeStream(of: String.self)
        let login = Task {
            try await control.transport.run(
                control.command(["login", instance, "--resume", "--print"]),
                input: .none,
                output: .lines { continuation.yield($0) },
                error: .discarded,
                timeLimit: .seconds(120)
            )
        }
        var said = lines.makeAsyncIterator()
        let line = try #require(await said.next())
        #expect(line.hasPrefix("the screen is at 127.0.0.1:") && line.hasSuffix(" (VNC) until this is interrupted"))
        let port = try #require(Int(line.dropFirst("the screen is at 127.0.0.1:".count).prefix { $0.isNumber }))
        let size = try await DedicatedThread.run(name: "vnc") { try RemoteFramebuffer.firstFrame(port: port) }
        #expect(size.width >= 320 && size.height >= 200)
        login.cancel()
        _ = await login.result

        #expect(try await control.run(["monitor", instance, "info", "status"]) == "VM status: running\n")
        #expect(try await control.run(["monitor", instance, "system_reset"]).isEmpty)
        await expectError("exit status 1", contains: true) {
            try await control.run(["monitor", "nobody-1", "cont"])
        }
    }

    private struct Control {
        let server: SSHServer
        let transport: LocalTransport

        func command(_ arguments: [String]) -> Command {
            Command(
                LinkedControl.program.string,
                ["machine"] + arguments + [
                    "--host", "127.0.0.1:\(server.port)", "--known-hosts", server.knownHosts.string, "--identity",
                    server.clientKey.string, "--ssh-config", server.host.configurationFile?.string ?? "/dev/null",
                ]
            )
        }

        func run(_ arguments: [String]) async throws -> String {
            try await transport.check(command(arguments), timeLimit: .seconds(60)).outputText
        }
    }
}

/// As much of VNC's protocol as it takes to see a screen (RFC 6143, version 3.8, no authentication, raw encoding).
private enum RemoteFramebuffer {
    /// Waits for a frame that isn't all black, and gives back its size. Blocks.
    static func firstFrame(port: Int) throws -> (width: Int, height: Int) {
        let connection = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(connection) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port)).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(connection, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0 else { throw Errno(rawValue: errno) }
        let stream = FileDescriptor(rawValue: connection)
        try demand(try read(stream, 12) == Array("RFB 003.008\n".utf8), "it is no RFB server of version 3.8")
        try stream.writeAll("RFB 003.008\n".utf8)
        let kinds = try read(stream, Int(try read(stream, 1)[0]))
        try demand(kinds.contains(1), "it wants a password")
        try stream.writeAll([1])
        try demand(try read(stream, 4) == [0, 0, 0, 0], "it refused")
        try stream.writeAll([1])
        let start = try read(stream, 24)
        let (width, height) = (number(start[0..<2]), number(start[2..<4]))
        let bytesPerPixel = Int(start[4]) / 8
        _ = try read(stream, number(start[20..<24]))
        var isIncremental: UInt8 = 0
        while true {
            let size = [UInt8(width >> 8), UInt8(width & 255), UInt8(height >> 8), UInt8(height & 255)]
            try stream.writeAll([3, isIncremental, 0, 0, 0, 0] + size)
            isIncremental = 1
            try demand(try read(stream, 1) == [0], "it sent something else than a frame")
            let count = number(try read(stream, 3)[1..<3])
            var isBlack = true
            for _ in 0..<count {
                let head = try read(stream, 12)
                try demand(head[8..<12].allSatisfy { $0 == 0 }, "an encoding that wasn't asked for")
                let pixels = try read(stream, number(head[4..<6]) * number(head[6..<8]) * bytesPerPixel)
                if pixels.contains(where: { $0 != 0 }) { isBlack = false }
            }
            if !isBlack { return (width, height) }
        }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }

    private static func read(_ stream: FileDescriptor, _ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count < count {
            let wanted = min(buffer.count, count - bytes.count)
            let got = try buffer.withUnsafeMutableBytes { try stream.read(into: .init(rebasing: $0[..<wanted])) }
            guard got > 0 else { throw ConformanceFailure("the connection ended") }
            bytes += buffer.prefix(got)
        }
        return bytes
    }
}
