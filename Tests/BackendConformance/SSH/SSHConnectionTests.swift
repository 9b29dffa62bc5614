import BuildOSConformance
import BuildOSKit
import Glibc
import LocalTransport
import SSHRemote
import TestSupport
import Testing

@Suite("ssh: connections") struct SSHConnectionTests {
    private static let whichConnection = Command("sh", ["-c", "echo $SSH_CONNECTION"])

    @Test("commands share a connection, one after the other and side by side") func shared() async throws {
        try await withSSH { transport, _ in
            let first = try await transport.check(Self.whichConnection).outputText
            for _ in 0..<3 { #expect(try await transport.check(Self.whichConnection).outputText == first) }
            // As many as a connection takes, as soon as as many have ended: these are in nobody's way any more.
            for _ in 0..<5 {
                try await withThrowingTaskGroup(of: String.self) { group in
                    for _ in 0..<8 { group.addTask { try await transport.check(Self.whichConnection).outputText } }
                    for try await connection in group { #expect(connection == first) }
                }
            }
        }
    }

    @Test("a host that allows one session at a time gets one command after the other") func fewSessions() async throws {
        try await withSSH(configuration: ["MaxSessions 1"]) { transport, _ in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<12 { group.addTask { try await transport.check(Command("true")) } }
                try await group.waitForAll()
            }
        }
    }

    @Test("a host that goes away in mid-stream is told as that, and is connected to again") func lost() async throws {
        try await withSSH { transport, server in
            let (started, start) = AsyncStream.makeStream(of: Void.self)
            let task = Task {
                try await transport.run(
                    Command("sh", ["-c", "echo up; exec sleep 3600"]),
                    input: .none,
                    output: .lines { _ in start.finish() },
                    error: .discarded,
                    timeLimit: nil
                )
            }
            for await _ in started {}
            server.killConnections()
            let error = await #expect(throws: TransportError.self) { try await task.value }
            #expect(error?.kind == .connectionLost)
            #expect(error?.subject == "root@127.0.0.1:\(server.port)")
            #expect(error?.cause.hasPrefix("the connection was lost: ") == true)
            #expect(await sshError(transport) == nil)
        }
    }

    @Test("an upload that is cut off leaves nothing under the file's name") func cutUpload() async throws {
        try await withSSH { transport, server in
            let source = server.directory.appending("source")
            let target = server.directory.appending("target")
            try await LocalTransport().check(Command("truncate", ["-s", "200M", source.string]))
            await #expect(throws: TransportError.self) {
                try await transport.upload(source, to: target, permissions: .ownerReadWrite) { sent in
                    if sent > 1 << 20 { server.killConnections() }
                }
            }
            #expect(!FileTree.exists(target))
        }
    }

    @Test("a port where nobody listens") func unreachable() async throws {
        let host = RemoteHost(name: "127.0.0.1", port: 1, configurationFile: "/dev/null", knownHostsFiles: [])
        let error = try #require(await sshError(SSHRemote(to: host)))
        #expect(error.kind == .unreachable)
        #expect(
            error.description
                == "root@127.0.0.1:1: it can't be reached: Connection refused "
                + "(check the name, the port and that the SSH server runs)"
        )
    }

    @Test("a name that nobody has") func noName() async throws {
        let host = RemoteHost(name: "host.invalid", configurationFile: "/dev/null", knownHostsFiles: [])
        #expect(await sshError(SSHRemote(to: host))?.kind == .unreachable)
    }

    @Test("a server that says nothing is given up after the time to connect") func silent() async throws {
        try await withSSH { host, server in
            host.connectTimeout = .milliseconds(300)
            // A stopped listener: the system still accepts, and nobody speaks.
            kill(server.process, SIGSTOP)
        } _: { transport, server in
            let error = try #require(await sshError(transport))
            kill(server.process, SIGCONT)
            #expect(error.kind == .unreachable)
            #expect(error.description.contains("no answer within 0.3 seconds"))
        }
    }

    @Test("a host that stops answering is given up after ServerAliveInterval and ServerAliveCountMax") func keepAlive()
        async throws
    {
        try await withSSH { host, server in
            let text = "ServerAliveInterval 1\nServerAliveCountMax 1\n"
            try FileTree.write(Array(text.utf8), to: server.directory.appending("ssh_config"))
        } _: { transport, server in
            let command = Command("sh", ["-c", "kill -STOP $PPID; exec sleep 3600"])
            let error = try #require(await sshError(transport, command))
            #expect(error.kind == .connectionLost)
            #expect(error.detail.contains("the host has not answered for"))
        }
    }

    @Test("an idle host that answers is kept") func idle() async throws {
        try await withSSH { host, server in
            let text = "ServerAliveInterval 1\nServerAliveCountMax 1\n"
            try FileTree.write(Array(text.utf8), to: server.directory.appending("ssh_config"))
        } _: { transport, _ in
            // Longer than interval and count allow for silence.
            #expect(await sshError(transport, Command("sleep", ["4"])) == nil)
        }
    }

    @Test("the server's own questions are answered while nothing runs") func clientAlive() async throws {
        try await withSSH(configuration: ["ClientAliveInterval 1", "ClientAliveCountMax 1"]) { transport, _ in
            let first = try await transport.check(Self.whichConnection).outputText
            // On this machine: the connection is idle meanwhile.
            try await LocalTransport().check(Command("sleep", ["4"]))
            #expect(try await transport.check(Self.whichConnection).outputText == first)
        }
    }

    @Test("what one stream's turn brings for another is not forgotten") func noStall() async throws {
        try await withSSH { host, server in
            // Nothing else may wake the connection.
            let text = "ServerAliveInterval 0\n"
            try FileTree.write(Array(text.utf8), to: server.directory.appending("ssh_config"))
        } _: { transport, _ in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for size in [90_000_000, 90_000_001] {
                    group.addTask {
                        let script = "head -c \(size) /dev/zero; head -c 90000 /dev/zero >&2; cat >/dev/null"
                        let result = try await transport.run(
                            Command("sh", ["-c", script]),
                            input: .bytes([UInt8](repeating: 0, count: 9_000_000)),
                            output: .collected(limit: size),
                            error: .collected(limit: 90_000),
                            timeLimit: .seconds(120)
                        )
                        #expect(result.output.count == size && result.error.count == 90_000)
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test("keys are exchanged anew in the middle of streams both ways") func rekeying() async throws {
        try await withSSH(configuration: ["RekeyLimit 1M"]) { transport, _ in
            let bytes = [UInt8](repeating: 7, count: 12_000_000)
            let result = try await transport.run(
                Command("cat"),
                input: .bytes(bytes),
                output: .collected(limit: bytes.count),
                error: .discarded,
                timeLimit: .seconds(120)
            )
            #expect(result.output == bytes)
        }
    }

    @Test("closing ends what runs, on the host too") func closing() async throws {
        try await withSSH { transport, _ in
            let marker = "sleep 32\(UInt32.random(in: 1_000_000...9_999_999))"
            let (started, start) = AsyncStream.makeStream(of: Void.self)
            let task = Task {
                try await transport.run(
                    Command("bash", ["-c", "\(marker) & echo up; wait"]),
                    input: .none,
                    output: .lines { _ in start.finish() },
                    error: .discarded,
                    timeLimit: nil
                )
            }
            for await _ in started {}
            await transport.close()
            let error = await #expect(throws: TransportError.self) { try await task.value }
            #expect(error?.kind == .cancelled)
            let left = try await LocalTransport().run(
                Command("pgrep", ["-f", "^\(marker)"]),
                input: .none,
                output: .collected(limit: 1000),
                error: .discarded,
                timeLimit: .seconds(60)
            )
            #expect(left.output.isEmpty)
        }
    }

    @Test("a command line that SSH can't carry is refused") func longLine() async throws {
        try await withSSH { transport, _ in
            let error = try #require(
                await sshError(transport, Command("true", [String(repeating: "x", count: 40_000)]))
            )
            #expect(error.kind == .cannotStart)
            #expect(error.remedy == "pass them through its standard input")
        }
    }
}
