import BuildOSKit
import LocalTransport
import TestSupport
import Testing

@testable import SSHRemote

@Suite("ssh: configuration files") struct SSHConfigurationTests {
    private static let local = LocalUser(name: "operator", home: "/home/operator")

    private func settings(
        _ text: String,
        for host: RemoteHost,
        directory: FilePath = "/nowhere"
    ) throws(TransportError) -> HostSettings {
        var configuration = SSHConfiguration(alias: host.name, user: host.user, localUser: Self.local.name)
        try configuration.apply(try SSHConfigurationLine.all(in: text, name: "config"), directory: directory)
        return try HostSettings.resolve(host, configuration, Self.local, nil)
    }

    @Test(
        "it is read as ssh reads it",
        arguments: [
            "",
            "Host web\n HostName www.example.org\n User deploy\n Port 2222\n",
            "Host=web\nHostName=%h.example.org\nport = 2200\n",
            "Host *.org web !other\n  Port 1234\nHost *\n  Port 99\n  User \"all users\"\n",
            "Host * !web\n  Port 1234\n",
            "Host !web *\n  Port 1234\n",
            "Host w?b\n  Port 1234\nHost we\n  User x\n",
            "Host WEB\n  User upper\n",
            "  # comment\n\nuser first\nUSER second\n\tHost web # trailing\n  Port 77\n",
            "Host web\n IdentityFile /keys/%h-%r-%p\n IdentityFile \"/keys/with blank\"\nHost *\n IdentityFile /keys/%n\n IdentitiesOnly yes\n",
            "Match all\n Port 5\n",
            "Match host web\n Port 5\n",
            "Host web\n HostName inner\nMatch host inner\n Port 5\nMatch originalhost web\n User orig\n",
            "Match originalhost we*,other !user nobody\n Port 5\n",
            "Match !host web\n Port 5\nMatch user *\n Port 6\n",
            "Host web\n ProxyJump one,two@three:4\n ServerAliveInterval 7\n ServerAliveCountMax 9\n",
            "Host web\n ProxyJump none\nHost *\n ProxyJump jump\n",
            "UserKnownHostsFile /a \"/b c\" /d\nGlobalKnownHostsFile /e\nHostKeyAlias other\nConnectTimeout 12\n",
            "Host web\n HostName %h.%%.org\n User a\\\"b\n",
        ]
    ) func asSSH(text: String) async throws {
        try await withTemporaryDirectory { directory in
            let file = directory.appending("config")
            try FileTree.write(Array(text.utf8), to: file)
            let host = RemoteHost(name: "web", configurationFile: file)
            let ours = try HostSettings.resolve(host, jumps: nil)
            let output = try await LocalTransport().check(Command("ssh", ["-G", "-F", file.string, "web"])).outputText
            var theirs: [String: [String]] = [:]
            for line in output.split(separator: "\n") {
                let words = line.split(separator: " ", maxSplits: 1).map(String.init)
                theirs[words[0], default: []].append(words.count > 1 ? words[1] : "")
            }
            #expect(ours.hostName == theirs["hostname"]?.first)
            #expect(ours.user == theirs["user"]?.first)
            #expect(String(ours.port) == theirs["port"]?.first)
            #expect(ours.identitiesOnly == (theirs["identitiesonly"]?.first == "yes"))
            if text.contains("ServerAlive") {
                #expect(
                    ours.keepAliveInterval
                        == theirs["serveraliveinterval"]?.first.flatMap { Int($0) }.map { .seconds($0) }
                )
                #expect(String(ours.keepAliveCount) == theirs["serveralivecountmax"]?.first)
            }
            #expect(ours.jumps.map(\.description).joined(separator: ",") == theirs["proxyjump"]?.first ?? "")
            if text.contains("IdentityFile") {
                // ssh -G prints them before it expands them.
                let tokens = SSHTokens(values: ["h": ours.hostName, "r": ours.user, "p": String(ours.port), "n": "web"])
                #expect(ours.configuredIdentities.map(\.string) == theirs["identityfile"]?.map(tokens.expand))
            }
            if text.contains("UserKnownHostsFile") {
                #expect(ours.knownHostsFiles == ["/a", "/b c", "/d", "/e"])
                #expect(ours.knownHostsName == "other")
                #expect(ours.connectTimeout == .seconds(12))
            }
        }
    }

    @Test("what the caller says goes before what files say") func precedence() throws {
        var host = RemoteHost(name: "web", user: "me", port: 1, identityFiles: ["/mine"], knownHostsFiles: ["/known"])
        host.connectTimeout = .seconds(1)
        let text = "User x\nPort 2\nIdentityFile ~/theirs\nUserKnownHostsFile /other\nConnectTimeout 9\n"
        let settings = try settings(text, for: host)
        #expect(settings.user == "me" && settings.port == 1 && settings.connectTimeout == .seconds(1))
        #expect(settings.chosenIdentities == ["/mine"] && settings.configuredIdentities == ["/home/operator/theirs"])
        #expect(settings.knownHostsFiles == ["/known"])
    }

    @Test("without files it is as usual") func usual() throws {
        let settings = try settings("", for: RemoteHost(name: "host"))
        #expect(settings.user == "operator" && settings.port == 22 && settings.connectTimeout == .seconds(30))
        #expect(settings.configuredIdentities.first == "/home/operator/.ssh/id_ed25519")
        #expect(
            settings.knownHostsFiles.prefix(2) == [
                "/home/operator/.ssh/known_hosts", "/home/operator/.ssh/known_hosts2",
            ]
        )
    }

    @Test("included files count where they are included") func include() async throws {
        try await withTemporaryDirectory { directory in
            try FileTree.write(Array("Port 7\nHost other\nUser nobody\n".utf8), to: directory.appending("a.conf"))
            try FileTree.write(Array("Port 8\nUser b\nInclude b.conf\n".utf8), to: directory.appending("b.conf"))
            let host = RemoteHost(name: "web")
            let both = try settings("Include a.conf\nPort 9\nUser main\n", for: host, directory: directory)
            #expect(both.port == 7 && both.user == "main")
            let none = try settings("Host x\nInclude a.conf\nHost web\nPort 9\n", for: host, directory: directory)
            #expect(none.port == 9)
            let missing = try settings("Include \(directory)/none*\nPort 9\n", for: host)
            #expect(missing.port == 9)
            let error = #expect(throws: TransportError.self) {
                try settings("Include b.conf\n", for: host, directory: directory)
            }
            #expect(error?.detail == "files include each other too deeply")
        }
    }

    @Test(
        "a mistake is told with its place",
        arguments: [
            ("Port x", "config:1 (port): it could not be started: it takes a number from 1 to 65535"),
            ("\nPort 0", "config:2 (port): it could not be started: it takes a number from 1 to 65535"),
            ("User", "config:1 (user): it could not be started: it takes one value"),
            ("User a b", "config:1 (user): it could not be started: it takes one value"),
            ("IdentitiesOnly maybe", "config:1 (identitiesonly): it could not be started: it takes yes or no"),
            ("User \"a", "config:1: it could not be started: a quotation mark has no other"),
            (
                "Match exec true\nPort 5",
                "config:1 (match): it could not be started: only all, host, originalhost, user and localuser are supported, "
                    + "and port depends on it (use Host, or give another configuration file)"
            ),
            (
                "ProxyCommand nc %h %p",
                "config:1 (ProxyCommand): not supported: connections through a program's input and output (use ProxyJump)"
            ),
        ]
    ) func mistakes(text: String, description: String) {
        let error = #expect(throws: TransportError.self) { try settings(text, for: RemoteHost(name: "web")) }
        #expect(error?.description == description)
    }

    @Test("what isn't supported is passed over where it changes nothing") func harmless() throws {
        let text = "Match exec true\n  ForwardAgent yes\nHost *\n  Port 5\n  ControlMaster auto\nProxyCommand none\n"
        #expect(try settings(text, for: RemoteHost(name: "web")).port == 5)
    }

    @Test("no text crashes the parser, and it takes time in proportion", arguments: 0..<40) func fuzz(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        let pieces = [
            "Host ", "Match ", "all ", "host ", "exec ", "!", "*", "?", "web", "Port ", "22", "User ", "\"", "\\", "=",
            "#", "\n",
            "\n", " ", "\t", "\r", "\0", "IdentityFile ", "~", "%h", "%", "${HOME}", "${", "Include ", "ProxyJump ",
            ",", "@", ":",
            "[", "]", "\u{1F600}", "none", "UserKnownHostsFile ", "ServerAliveInterval ", "99999999999999999999",
        ]
        for _ in 0..<100 {
            let text = (0..<Int.random(in: 0...60, using: &generator)).map { _ in
                pieces.randomElement(using: &generator) ?? ""
            }.joined()
            // It gives settings or an error that names a place; either will do.
            do throws(TransportError) { _ = try settings(text, for: RemoteHost(name: "web")) } catch {
                #expect(!error.subject.isEmpty)
            }
        }
    }
}
