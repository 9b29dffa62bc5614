import BuildOSKit
import LocalTransport
import SSHRemote
import TestSupport
import Testing

@Suite("ssh: jump hosts") struct SSHJumpTests {
    /// Two servers: only the configuration file knows how to get from the one to the other.
    private func withJump(
        jump: (SSHServer) -> String,
        _ body: (SSHRemote, _ inner: SSHServer, _ outer: SSHServer) async throws -> Void
    ) async throws {
        try await withSSH { _, inner in
            try await withSSHServer(by: LocalTransport()) { outer in
                let text = """
                    Host inner
                      HostName 127.0.0.1
                      Port \(inner.port)
                      IdentityFile \(inner.clientKey)
                      ProxyJump \(jump(outer))
                    Host outer
                      HostName 127.0.0.1
                      Port \(outer.port)
                      IdentityFile "\(outer.clientKey)"
                    Host *
                      User root
                      UserKnownHostsFile \(inner.knownHosts) \(outer.knownHosts)

                    """
                try FileTree.write(Array(text.utf8), to: inner.directory.appending("config"))
                let host = RemoteHost(name: "inner", configurationFile: inner.directory.appending("config"))
                let transport = SSHRemote(to: host)
                do { try await body(transport, inner, outer) } catch {
                    await transport.close()
                    throw error
                }
                await transport.close()
            }
        }
    }

    @Test("commands and files go through a jump host", arguments: ["outer", "outer,outer"])
    func through(jump: String) async throws {
        try await withJump(jump: { _ in jump }) { transport, inner, outer in
            let ports = try await transport.check(Command("sh", ["-c", "echo $SSH_CONNECTION"])).outputText
            #expect(ports.hasSuffix(" \(inner.port)\n"))
            let bytes = [UInt8](repeating: 3, count: 3_000_000)
            let source = inner.directory.appending("source")
            try FileTree.write(bytes, to: source)
            let target = inner.directory.appending("target")
            try await transport.upload(source, to: target, permissions: .ownerReadWrite, progress: nil)
            #expect(try FileTree.read(target, limit: 4 << 20) == bytes)
            // Without the jump host there is no way: it was really used.
            outer.killConnections()
            _ = await sshError(transport)
            #expect(await sshError(transport) == nil)
        }
    }

    @Test("a jump host that can't be reached is told as the reason") func unreachable() async throws {
        try await withJump(jump: { _ in "root@127.0.0.1:1" }) { transport, inner, _ in
            let error = try #require(await sshError(transport))
            #expect(error.kind == .unreachable)
            #expect(error.subject == "inner (root@127.0.0.1:\(inner.port))")
            #expect(error.detail.contains("through its jump host: root@127.0.0.1:1: it can't be reached"))
        }
    }

    @Test("a jump host that may not forward is told as the reason") func forbidden() async throws {
        try await withJump(jump: { _ in "outer" }) { transport, inner, outer in
            let key = try FileTree.readText(outer.directory.appending("authorized_keys"))
            try FileTree.write(Array("restrict \(key)".utf8), to: outer.directory.appending("authorized_keys"))
            let error = try #require(await sshError(transport))
            #expect(error.kind == .unreachable)
            #expect(error.detail.contains("forwarding to 127.0.0.1:\(inner.port)"))
        }
    }
}
