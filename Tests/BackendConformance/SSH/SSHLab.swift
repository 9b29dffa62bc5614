import BuildOSKit
import Glibc
import LocalTransport
import SSHRemote
import TestSupport
import Testing

/// A transport to a real sshd, closed at the end.
func withSSH(
    configuration: [String] = [],
    change: (inout RemoteHost, SSHServer) async throws -> Void = { _, _ in },
    _ body: (SSHRemote, SSHServer) async throws -> Void
) async throws {
    guard Requirements.isMet(getuid() == 0, "sshd for tests needs root") else { return }
    try await withSSHServer(by: LocalTransport(), configuration: configuration) { server in
        var host = server.host
        try await change(&host, server)
        let transport = SSHRemote(to: host)
        do { try await body(transport, server) } catch {
            await transport.close()
            throw error
        }
        await transport.close()
    }
}

/// The error that a command gives.
func sshError(_ transport: any Transport, _ command: Command = Command("true")) async -> TransportError? {
    do throws(TransportError) {
        try await transport.check(command)
        return nil
    } catch {
        return error
    }
}

/// Makes a key pair in a server's directory, and lets it log in if asked to.
func makeKey(
    _ name: String,
    _ arguments: [String] = ["-t", "ed25519"],
    passphrase: String = "",
    for server: SSHServer,
    mayLogIn: Bool
) async throws -> FilePath {
    let file = server.directory.appending(name)
    try await LocalTransport().check(
        Command("ssh-keygen", ["-q", "-N", passphrase, "-C", "test", "-f", file.string] + arguments)
    )
    if mayLogIn {
        let allowed = server.directory.appending("authorized_keys")
        let keys = try FileTree.readText(allowed) + FileTree.readText(FilePath(file.string + ".pub"))
        try FileTree.write(Array(keys.utf8), to: allowed)
    }
    return file
}

/// What ssh-keygen(1) calls a public key.
func fingerprint(of publicKey: FilePath) async throws -> String {
    let words = try await LocalTransport().check(Command("ssh-keygen", ["-l", "-f", publicKey.string])).outputText
        .split(separator: " ")
    return try String(#require(words.dropFirst().first))
}
