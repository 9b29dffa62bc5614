import BuildOSKit
import LocalTransport
import TestSupport
import Testing

@testable import SSHRemote

@Suite("ssh: known_hosts files") struct SSHKnownHostsTests {
    private static let first = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ"
    private static let second = "AAAAC3NzaC1lZDI1NTE5AAAAIA1jHJO1vyU7CVgBmxSAn4zFzaXgSQHQ1eLqzYtGV9Sk"

    private func verdict(_ text: String, _ name: String, _ key: String = first) throws -> KnownHosts.Verdict {
        KnownHosts(text, name: "file").verdict(on: try #require(PublicKey(base64: key)), of: name)
    }

    @Test(
        "names, wildcards, negation and ports",
        arguments: [
            ("example.org", "example.org", true),
            ("example.org", "EXAMPLE.ORG", true),
            ("example.org", "www.example.org", false),
            ("*.example.org", "www.example.org", true),
            ("*.example.org,!www.example.org", "www.example.org", false),
            ("!www.example.org,*.example.org", "www.example.org", false),
            ("!www.example.org", "ftp.example.org", false),
            ("a,b,192.0.2.?", "192.0.2.7", true),
            ("192.0.2.?", "192.0.2.77", false),
            ("example.org", "[example.org]:2222", false),
            ("[example.org]:2222", "[example.org]:2222", true),
            ("[example.org]:2222", "example.org", false),
            ("[*]:2222", "[example.org]:2222", true),
            ("*", "anything", true),
        ]
    ) func names(pattern: String, name: String, isKnown: Bool) throws {
        #expect(
            try verdict("\(pattern) ssh-ed25519 \(Self.first) comment here\n", name) == (isKnown ? .known : .unknown)
        )
    }

    @Test("hashed names of ssh-keygen -H are found, those alone") func hashed() async throws {
        try await withTemporaryDirectory { directory in
            let file = directory.appending("known_hosts")
            let text =
                "example.org,192.0.2.1 ssh-ed25519 \(Self.first)\n[example.org]:2222 ssh-ed25519 \(Self.second)\n"
            try FileTree.write(Array(text.utf8), to: file)
            try await LocalTransport().check(Command("ssh-keygen", ["-H", "-f", file.string]))
            let hashed = try FileTree.readText(file)
            #expect(!hashed.contains("example"))
            #expect(try verdict(hashed, "example.org") == .known)
            #expect(try verdict(hashed, "192.0.2.1") == .known)
            #expect(try verdict(hashed, "[example.org]:2222", Self.second) == .known)
            #expect(try verdict(hashed, "example.com") == .unknown)
            guard case .different = try verdict(hashed, "example.org", Self.second) else {
                Issue.record("another host's key was taken")
                return
            }
        }
    }

    @Test("markers: revoked goes before all, an authority is not a key") func markers() throws {
        let known = "example.org ssh-ed25519 \(Self.first)\n"
        guard case .revoked(let entry) = try verdict(known + "@revoked * ssh-ed25519 \(Self.first)\n", "example.org")
        else {
            Issue.record("a revoked key was taken")
            return
        }
        #expect(entry.place == "file:2")
        #expect(try verdict(known + "@revoked * ssh-ed25519 \(Self.second)\n", "example.org") == .known)
        guard case .certificateOnly = try verdict("@cert-authority *.org ssh-ed25519 \(Self.first)\n", "example.org")
        else {
            Issue.record("an authority's key was taken for a host's")
            return
        }
        #expect(try verdict("@other example.org ssh-ed25519 \(Self.first)\n", "example.org") == .unknown)
    }

    @Test(
        "lines that can't be understood trust nobody",
        arguments: [
            "", "#example.org ssh-ed25519 KEY", "example.org", "example.org ssh-ed25519", "example.org ssh-rsa KEY",
            "example.org ssh-ed25519 %%%", "|1|AAAA ssh-ed25519 KEY", "|1||AAAA ssh-ed25519 KEY",
            "|2|AAAA|AAAA ssh-ed25519 KEY",
            "|1|AAAA|AAAA ssh-ed25519 KEY",
        ]
    ) func malformed(line: String) throws {
        let text = line.replacing("KEY", with: Self.first) + "\n"
        #expect(try verdict(text, "example.org") == .unknown)
        #expect(try verdict(text + "example.org ssh-ed25519 \(Self.first)", "example.org") == .known)
    }

    @Test("fingerprints are those of ssh-keygen") func fingerprint() async throws {
        try await withTemporaryDirectory { directory in
            let file = directory.appending("key.pub")
            try FileTree.write(Array("ssh-ed25519 \(Self.first) x\n".utf8), to: file)
            let output = try await LocalTransport().check(Command("ssh-keygen", ["-l", "-f", file.string])).outputText
            let ours = try #require(PublicKey(base64: Self.first)).fingerprint
            #expect(output.contains(" \(ours) "))
        }
    }

    @Test("no bytes crash the parsers, and none of them makes a key known", arguments: 0..<40) func fuzz(seed: Int)
        throws
    {
        var generator = SeededGenerator(seed: UInt64(seed))
        let key = try #require(PublicKey(base64: Self.second))
        let pieces = [
            "example.org", "*", "?", "!", ",", "[", "]:22", "|1|", "|", "AAAA", "=", " ", "\t", "\n", "\r\n", "\0",
            "ssh-ed25519",
            "ssh-rsa", Self.first, "@revoked", "@cert-authority", "#", "\u{1F600}", "ä",
        ]
        for _ in 0..<100 {
            let text = (0..<Int.random(in: 0...40, using: &generator)).map { _ in
                pieces.randomElement(using: &generator) ?? ""
            }.joined()
            let verdict = KnownHosts(text, name: "file").verdict(on: key, of: "example.org")
            #expect(verdict != .known)
            let bytes = (0..<200).map { _ in UInt8.random(in: 0...255, using: &generator) }
            _ = PublicKey(blob: bytes)
            _ = try? KeyFile("-----BEGIN OPENSSH PRIVATE KEY-----\n\(text)\n-----END", path: "key")
        }
    }

    @Test("a pattern made to be slow is not") func slowPattern() {
        let pattern = String(repeating: "*a", count: 2000) + "b"
        #expect(!HostPattern.matches(pattern, String(repeating: "a", count: 5000)))
    }
}
