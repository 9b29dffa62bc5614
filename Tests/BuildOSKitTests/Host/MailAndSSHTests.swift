import BuildOSKit
import TestSupport
import Testing

@Suite struct MailAndSSHTests {
    private func mail(_ line: String) -> [String: String] {
        let parsed = HostConfiguration.parse(commandLine: line)
        #expect(parsed.errors.isEmpty)
        let lease = DHCPLease(address: "10.0.0.2", hostName: "b1", domainName: "example.org")
        let plan = MailPlan(parsed.configuration, hostName: HostName(lease: lease, address: nil))
        return Dictionary(uniqueKeysWithValues: plan.files.map { ($0.path.string, $0.content) })
    }

    @Test("MAIL-1: root's mail goes to the administrator through the relay, without authentication")
    func relay() {
        let files = mail("buildos.admin_email=admin@example.org buildos.smtp_relay=example.org")
        #expect(
            files["/etc/postfix/main.cf"] == """
                # Made by 'buildosd init' at this boot.
                compatibility_level = 3.6
                myhostname = b1.example.org
                myorigin = $myhostname
                mydestination = $myhostname, b1, localhost
                mynetworks = 127.0.0.0/8 [::1]/128
                inet_interfaces = loopback-only
                relayhost = [example.org]
                local_transport = error:there are no mailboxes on a build host
                virtual_alias_maps = texthash:/etc/postfix/virtual
                alias_maps =
                alias_database =
                smtp_sasl_auth_enable = no
                smtp_tls_security_level = may
                smtp_address_preference = ipv4
                maximal_queue_lifetime = 1d
                bounce_queue_lifetime = 0
                minimal_backoff_time = 60s
                queue_run_delay = 60s
                biff = no

                """
        )
        #expect(files["/etc/postfix/virtual"]?.contains("\nroot admin@example.org\nbuild admin@example.org\n") == true)
        #expect(files["/etc/aliases"] == "root: admin@example.org\nbuild: root\n")
    }

    @Test(
        "MAIL-1: the relay is the host itself, with its port if there is one",
        arguments: [("mx:2525", "[mx]:2525"), ("10.0.0.1", "[10.0.0.1]"), ("[fd00::1]:25", "[ipv6:fd00::1]:25")]
    )
    func relayForms(given: String, expected: String) {
        let main = mail("buildos.admin_email=a@example.org buildos.smtp_relay=\(given)")["/etc/postfix/main.cf"]
        #expect(main?.contains("\nrelayhost = \(expected)\n") == true)
    }

    @Test("MAIL-1: without an administrator mail is dropped, without a relay it goes straight to the domain")
    func neither() {
        let nobody = mail("")
        #expect(nobody["/etc/postfix/main.cf"]?.contains("\ndefault_transport = discard:\n") == true)
        #expect(nobody["/etc/postfix/virtual"]?.contains("root") == false)
        let direct = mail("buildos.admin_email=a@example.org")["/etc/postfix/main.cf"]
        #expect(direct?.contains("\nrelayhost =\n") == true)
        #expect(direct?.contains("discard") == false)
    }

    @Test("SSH-1: keys of user build, no passwords, no root")
    func ssh() throws {
        let keys = [try AuthorizedKey(Sample.ed25519Key + " me@desk"), try AuthorizedKey(Sample.rsaKey)]
        let files = SSHPlan.files(keys: keys)
        let server = try #require(files.first { $0.path == "/etc/ssh/sshd_config.d/buildos.conf" })
        for line in [
            "PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin no", "AllowUsers build",
        ] {
            #expect(server.content.contains("\n\(line)\n"))
        }
        let authorized = try #require(files.first { $0.path == "/build/.ssh/authorized_keys" })
        #expect(authorized.content == "\(Sample.ed25519Key) me@desk\n\(Sample.rsaKey)\n")
        #expect(authorized.isOwnedByBuild)
        #expect(authorized.permissions == .ownerReadWrite)
    }

    @Test("SSH-1: a host key that was cut or changed is not taken for one")
    func hostKey() throws {
        let key = """
            -----BEGIN OPENSSH PRIVATE KEY-----
            b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
            QyNTUxOQAAACCgSRsEfLYt1vdnfhNdx0ytunwKagIMrV0oh8S5mFY3egAAAJDiYzta4mM7
            WgAAAAtzc2gtZWQyNTUxOQAAACCgSRsEfLYt1vdnfhNdx0ytunwKagIMrV0oh8S5mFY3eg
            AAAEBZ6oQfUzMQBt/G+MN5xCEoJ2ubZbMwNQ6Tecbr4vB01qBJGwR8ti3W92d+E13HTK26
            fApqAgytXSiHxLmYVjd6AAAACWJ1aWxkaG9zdAECAwQ=
            -----END OPENSSH PRIVATE KEY-----

            """
        #expect(
            OpenSSHKey.publicKey(ofPrivateKey: key)
                == "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKBJGwR8ti3W92d+E13HTK26fApqAgytXSiHxLmYVjd6"
        )
        for cut in stride(from: 0, to: key.count - 1, by: 7) {
            #expect(OpenSSHKey.publicKey(ofPrivateKey: String(key.prefix(cut))) == nil)
        }
        #expect(OpenSSHKey.publicKey(ofPrivateKey: key.replacing("4mM7", with: "4mM8")) == nil)
        #expect(OpenSSHKey.publicKey(ofPrivateKey: String(repeating: "\0", count: 400)) == nil)
    }
}
