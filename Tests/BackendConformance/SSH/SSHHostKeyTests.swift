import BuildOSKit
import LocalTransport
import SSHRemote
import TestSupport
import Testing

@Suite("ssh: host keys") struct SSHHostKeyTests {
    @Test("an unknown host is never connected to; the error has the fingerprint and the remedy") func unknown()
        async throws
    {
        try await withSSH { host, server in
            try FileTree.write(Array("example.org ssh-ed25519 AAAA\n".utf8), to: server.knownHosts)
        } _: { transport, server in
            let error = try #require(await sshError(transport))
            let shown = try await fingerprint(of: server.directory.appending("host.pub"))
            #expect(error.kind == .hostKey)
            #expect(error.description.contains("it shows the ED25519 key \(shown)"))
            #expect(error.description.contains("know none of [127.0.0.1]:\(server.port)"))
            #expect(error.remedy?.contains("ssh-keyscan -p \(server.port) 127.0.0.1 >>\(server.knownHosts)") == true)
        }
    }

    @Test("a host with no known_hosts file at all is unknown") func noFile() async throws {
        try await withSSH { host, _ in
            host.knownHostsFiles = ["/no/such/file"]
        } _: { transport, _ in
            #expect(await sshError(transport)?.kind == .hostKey)
        }
    }

    @Test("a host with another key than the known one is not connected to") func different() async throws {
        try await withSSH { host, server in
            let other = try await makeKey("other", for: server, mayLogIn: false)
            let key = try FileTree.readText(FilePath(other.string + ".pub"))
            try FileTree.write(Array("[127.0.0.1]:\(server.port) \(key)".utf8), to: server.knownHosts)
        } _: { transport, server in
            let error = try #require(await sshError(transport))
            let known = try await fingerprint(of: server.directory.appending("other.pub"))
            #expect(error.kind == .hostKey)
            #expect(error.description.contains("but \(server.knownHosts):1 has ED25519 \(known)"))
            #expect(error.remedy?.contains("ssh-keygen -R '[127.0.0.1]:\(server.port)'") == true)
        }
    }

    @Test("a host that is known by a key of another type only is told apart from an impostor") func otherType()
        async throws
    {
        try await withSSH { host, server in
            let other = try await makeKey("other", ["-t", "ecdsa"], for: server, mayLogIn: false)
            let key = try FileTree.readText(FilePath(other.string + ".pub"))
            try FileTree.write(Array("[127.0.0.1]:\(server.port) \(key)".utf8), to: server.knownHosts)
        } _: { transport, _ in
            let error = try #require(await sshError(transport))
            #expect(error.kind == .hostKey)
            #expect(error.description.contains("only other types are known"))
        }
    }

    @Test("a revoked key is refused, known or not") func revoked() async throws {
        try await withSSH { host, server in
            let known = try FileTree.readText(server.knownHosts)
            try FileTree.write(Array("\(known)@revoked \(known)".utf8), to: server.knownHosts)
        } _: { transport, server in
            let error = try #require(await sshError(transport))
            #expect(error.kind == .hostKey)
            #expect(error.description.contains("which \(server.knownHosts):2 revokes"))
        }
    }

    @Test("a host whose certificate alone would be trusted is refused in clear words") func authority() async throws {
        try await withSSH { host, server in
            let known = try FileTree.readText(server.knownHosts)
            try FileTree.write(Array("@cert-authority \(known)".utf8), to: server.knownHosts)
        } _: { transport, _ in
            let error = try #require(await sshError(transport))
            #expect(error.kind == .hostKey)
            #expect(error.description.contains("trusts certificates only, which libssh2 can't check"))
        }
    }

    @Test("names that ssh-keygen -H hashed are found, and wildcards") func hashed() async throws {
        try await withSSH { host, server in
            try await LocalTransport().check(Command("ssh-keygen", ["-H", "-f", server.knownHosts.string]))
        } _: { transport, server in
            let text = try FileTree.readText(server.knownHosts)
            #expect(text.hasPrefix("|1|"))
            #expect(await sshError(transport) == nil)
        }
        try await withSSH { host, server in
            let key = try FileTree.readText(server.directory.appending("host.pub"))
            try FileTree.write(Array("!*.9,[127.0.*]:* \(key)".utf8), to: server.knownHosts)
        } _: { transport, _ in
            #expect(await sshError(transport) == nil)
        }
    }
}
