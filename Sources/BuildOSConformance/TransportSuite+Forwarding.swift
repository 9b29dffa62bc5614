import BuildOSKit
import Glibc

extension TransportSuite {
    /// Ports that are forwarded; `python3` has to be where commands run.
    var forwardingChecks: [ConformanceCheck] {
        guard transport.capabilities.portForwarding else {
            return [
                ConformanceCheck("forwarding is refused as not supported") {
                    do {
                        _ = try await transport.forward(localPort: 0, to: .tcp(host: "127.0.0.1", port: 9))
                        throw ConformanceFailure("it did not throw")
                    } catch let error as TransportError {
                        try require(error.kind == .unsupported, "got \(error)")
                    }
                }
            ]
        }
        return [
            ConformanceCheck("a TCP port is forwarded, both ways and many connections at once") {
                try await withEchoServer("AF_INET", "('127.0.0.1', 0)") { address in
                    guard let port = Int(address) else { throw ConformanceFailure("the server said \(address)") }
                    try await checkEcho(.tcp(host: "127.0.0.1", port: port))
                }
            },
            ConformanceCheck("a UNIX socket is forwarded") {
                let directory = try await transport.check(Command("mktemp", ["-d"])).outputText.dropLast()
                let path = "\(directory)/socket"
                try await withEchoServer("AF_UNIX", "'\(path)'") { _ in try await checkEcho(.unix(FilePath(path))) }
                try await transport.check(Command("rm", ["-r", String(directory)]))
            },
            ConformanceCheck("a connection to where nobody listens is closed, and commands go on") {
                let forward = try await transport.forward(localPort: 0, to: .unix("/no/such/socket"))
                let answer = await DedicatedThread.run(name: "forward-client") {
                    LocalClient(forward.localPort)?.exchange([1]) ?? []
                }
                try require(answer.isEmpty, "something answered")
                try await transport.check(Command("true"))
                await forward.stop()
            },
            ConformanceCheck("a port that is taken is an error") {
                let forward = try await transport.forward(localPort: 0, to: .unix("/no/such/socket"))
                do {
                    _ = try await transport.forward(localPort: forward.localPort, to: .unix("/no/such/socket"))
                    throw ConformanceFailure("it was taken twice")
                } catch let error as TransportError {
                    try require(error.kind == .inputOutput, "got \(error)")
                }
                await forward.stop()
            },
        ]
    }

    private func checkEcho(_ target: ForwardTarget) async throws {
        let forward = try await transport.forward(localPort: 0, to: target)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<4 {
                group.addTask {
                    let bytes = Self.noise(400_000 + number)
                    let answer = await DedicatedThread.run(name: "forward-client") {
                        LocalClient(forward.localPort)?.exchange(bytes) ?? []
                    }
                    try require(answer == bytes, "\(answer.count) of \(bytes.count) bytes came back")
                }
            }
            try await group.waitForAll()
        }
        await forward.stop()
        await forward.stop()
        let isOpen = await DedicatedThread.run(name: "forward-client") { LocalClient(forward.localPort) != nil }
        try require(!isOpen, "the port is open after stop()")
    }

    /// Gives back what each connection sends, until its end.
    private func withEchoServer(
        _ family: String,
        _ address: String,
        _ body: (String) async throws -> Void
    ) async throws {
        let script = """
            import socket, threading
            server = socket.socket(socket.\(family))
            server.bind(\(address))
            server.listen(16)
            name = server.getsockname()
            print(name[1] if isinstance(name, tuple) else name, flush=True)
            def serve(peer):
                while True:
                    data = peer.recv(65536)
                    if not data: break
                    peer.sendall(data)
                peer.close()
            while True: threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
            """
        do throws(TransportError) { try await transport.check(Command("python3", ["-c", ""])) } catch {
            if error.kind == .commandNotFound { throw ConformanceSkip("there is no python3 where commands run") }
            throw error
        }
        let (lines, line) = AsyncStream.makeStream(of: String.self)
        let server = Task {
            defer { line.finish() }
            _ = try? await transport.run(
                Command("python3", ["-c", script]),
                input: .none,
                output: .lines { line.yield($0) },
                error: .inherited,
                timeLimit: nil
            )
        }
        var name: String?
        for await first in lines {
            name = first
            break
        }
        let outcome: Result<Void, any Error>
        do {
            guard let name else { throw ConformanceFailure("the test's server, in python3, did not start") }
            outcome = .success(try await body(name))
        } catch { outcome = .failure(error) }
        server.cancel()
        await server.value
        try outcome.get()
    }
}

/// A blocking connection to a port of 127.0.0.1.
private struct LocalClient {
    private let socket: FileDescriptor

    /// - Returns: `nil` if nobody listens.
    init?(_ port: Int) {
        let descriptor = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        socket = FileDescriptor(rawValue: descriptor)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let isConnected = withUnsafePointer(to: address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                connect(descriptor, address, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isConnected else {
            try? socket.close()
            return nil
        }
    }

    /// Sends bytes and says that this was all; gives back what comes until the end, and closes.
    func exchange(_ bytes: [UInt8]) -> [UInt8] {
        // One of its own: the other may be closed, and its number used anew, while this one still sends.
        guard let sending = try? socket.duplicate() else { return [] }
        try? DedicatedThread.start(name: "forward-sender") {
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes {
                    send(sending.rawValue, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard count > 0 else { break }
                rest = rest.dropFirst(count)
            }
            shutdown(sending.rawValue, Int32(SHUT_WR))
            try? sending.close()
        }
        return TransportSuite.readAll(socket, by: 65_536)
    }
}
