import BuildOSKit
import Glibc
import LocalTransport
import SSHRemote
import Synchronization
import TestSupport
import Testing

@Suite("ssh: logging in") struct SSHLogInTests {
    @Test("a refused key is named, with its fingerprint") func refused() async throws {
        try await withSSH { host, server in
            host.identityFiles = [try await makeKey("stranger", for: server, mayLogIn: false), "/no/such/key"]
        } _: { transport, server in
            let error = try #require(await sshError(transport))
            let key = try await fingerprint(of: server.directory.appending("stranger.pub"))
            #expect(error.kind == .refused)
            #expect(error.description.contains("\(server.directory)/stranger \(key) (refused)"))
            #expect(error.description.contains("/no/such/key (No such file or directory)"))
        }
    }

    @Test("a key that others can read is passed over, as ssh does it") func openKey() async throws {
        try await withSSH { host, server in
            chmod(server.clientKey.string, 0o644)
        } _: { transport, server in
            let error = try #require(await sshError(transport))
            #expect(error.kind == .refused)
            #expect(error.description.contains("others can read it: chmod 600 \(server.clientKey)"))
        }
    }

    @Test(
        "keys of these types log in",
        arguments: [["-t", "ecdsa"], ["-t", "ecdsa", "-b", "521"], ["-t", "ecdsa", "-m", "PEM"]]
    )
    func types(arguments: [String]) async throws {
        try await withSSH { host, server in
            host.identityFiles = [try await makeKey("key", arguments, for: server, mayLogIn: true)]
        } _: { transport, _ in
            #expect(await sshError(transport) == nil)
        }
    }

    @Test("an RSA key is refused in clear words where libssh2 can't use it with SHA-2", arguments: ["RFC4716", "PEM"])
    func rsa(format: String) async throws {
        try await withSSH { host, server in
            let arguments = ["-t", "rsa", "-b", "2048", "-m", format]
            host.identityFiles = [try await makeKey("key", arguments, for: server, mayLogIn: true)]
        } _: { transport, _ in
            // From libssh2 1.11 on it simply works.
            guard let error = await sshError(transport) else { return }
            #expect(error.kind == .refused)
            #expect(
                error.description.contains("signs with RSA and SHA-1 only, which OpenSSH refuses: use an Ed25519 key")
            )
        }
    }

    @Test("an encrypted key asks for its passphrase", arguments: [["-t", "ed25519"], ["-t", "ecdsa", "-m", "PEM"]])
    func passphrase(arguments: [String]) async throws {
        let answers: [(answer: String?, detail: String?)] = [
            ("secret words", nil), ("wrong", "wrong passphrase"), (nil, "it has a passphrase, and nobody gave it"),
        ]
        for (answer, detail) in answers {
            let asked = Mutex<[FilePath]>([])
            try await withSSH { host, server in
                let key = try await makeKey("key", arguments, passphrase: "secret words", for: server, mayLogIn: true)
                host.identityFiles = [key]
                host.passphrase = RemoteHost.Passphrase { file in
                    asked.withLock { $0.append(file) }
                    return answer
                }
            } _: { transport, server in
                let error = await sshError(transport)
                #expect(asked.withLock { $0 } == [server.directory.appending("key")])
                if let detail {
                    #expect(error?.kind == .refused)
                    #expect(error?.description.contains(detail) == true)
                } else {
                    #expect(error == nil)
                }
            }
        }
    }

    @Test("the agent's keys log in; with IdentitiesOnly those alone that are named") func agent() async throws {
        try await withSSH { host, server in
            host.identityFiles = []
        } _: { _, server in
            let socket = server.directory.appending("agent")
            let agent = Task {
                try await LocalTransport().run(
                    Command("ssh-agent", ["-D", "-a", socket.string]),
                    input: .none,
                    output: .discarded,
                    error: .inherited,
                    timeLimit: nil
                )
            }
            defer { agent.cancel() }
            let add = Command(
                "ssh-add",
                ["-q", server.clientKey.string],
                environment: ["SSH_AUTH_SOCK": socket.string]
            )
            // The agent listens as soon as it can: ask again until it does.
            while try await LocalTransport().run(
                add,
                input: .none,
                output: .discarded,
                error: .discarded,
                timeLimit: .seconds(60)
            ).status != .exited(0) {}
            let other = try await makeKey("other", for: server, mayLogIn: false)
            let cases: [(lines: [String], isIn: Bool)] = [
                (["IdentityFile none"], true),
                (["IdentityFile \(other)"], true),
                (["IdentityFile \(other)", "IdentitiesOnly yes"], false),
                (["IdentityFile \(server.clientKey).pub", "IdentitiesOnly yes"], true),
            ]
            for (lines, isIn) in cases {
                let text = (["IdentityAgent \(socket)"] + lines).joined(separator: "\n") + "\n"
                try FileTree.write(Array(text.utf8), to: server.directory.appending("ssh_config"))
                var host = server.host
                host.identityFiles = []
                let transport = SSHRemote(to: host)
                let error = await sshError(transport)
                #expect((error == nil) == isIn, "\(lines): \(error?.description ?? "logged in")")
                await transport.close()
            }
        }
    }

    @Test("an account without a shell, and a forced command, are told as such") func noShell() async throws {
        try await withSSH(configuration: ["ForceCommand echo go away >&2; exit 3"]) { transport, _ in
            let error = try #require(await sshError(transport))
            #expect(error.kind == .cannotStart)
            #expect(error.detail.contains("the log-in shell ended before it, with exit status 3: go away"))
        }
    }

    @Test("a user that the host doesn't have is refused") func user() async throws {
        try await withSSH { host, _ in
            host.user = "nobody-here"
        } _: { transport, server in
            let error = try #require(await sshError(transport))
            #expect(error.kind == .refused)
            #expect(error.subject == "nobody-here@127.0.0.1:\(server.port)")
        }
    }
}
