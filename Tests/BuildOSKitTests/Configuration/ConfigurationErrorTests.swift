import BuildOSKit
import TestSupport
import Testing

@Suite struct ConfigurationErrorTests {
    @Test(
        "CONF-4: a bad value is reported with parameter, value and what is accepted",
        arguments: [
            ("buildos.nice=20", "20 is not from -20 to 19", "-20 to 19"),
            ("buildos.nice=-21", "-21 is not from -20 to 19", "-20 to 19"),
            ("buildos.nice=+3", "'+3' is not a whole number", "-20 to 19"),
            ("buildos.bridge=br7", "it is not one of br0, br1", "br0 or br1"),
            ("buildos.agent=own", "it is not one of bbot, builtin", "bbot or builtin"),
            ("buildos.build_limit=0", "0 is not from 1 to 604800", "1 to 604800"),
            ("buildos.interactive=yes", "not one of", "false, true or both"),
            ("buildos.hold_on_failure=-1", "-1 is not from 0 to 86400", "0 to 86400"),
            ("buildos.cpu_overcommit=3/0", "0 is not from 1 to 1000", "such as 3/2"),
            ("buildos.cpu_overcommit=3/2/1", "it is not a ratio", "such as 3/2"),
            ("buildos.cpu_overcommit=1.5", "'1.5' is not a whole number", "such as 3/2"),
            ("buildos.nice.a-b=1", "the toolchain's name holds a '-'", "letters, digits"),
            ("buildos.nice.=1", "the toolchain's name is empty", "letters, digits"),
            ("buildos.nice.a.b=1", "something else than letters", "letters, digits"),
            ("buildos.nice.12=1", "is a number", "not a number"),
            ("buildos.toolchain_url=example.org/x.sha256", "it has no scheme", "a URL of http"),
            ("buildos.toolchain_url=https://example.org/toolchain", "checksum algorithm", ".sha256"),
            ("buildos.toolchain_trust=maybe", "not a pair of hex digits", "fingerprint"),
            ("buildos.controller_trust=yes", "not a pair of hex digits", "fingerprint"),
            ("buildos.controller_trust=A7:A7", "2 pairs of hex digits, not 32", "fingerprint"),
            ("buildos.buildid_url=file:///x", "the scheme is file", "tftp"),
            ("buildos.controller_url=tftp://h/", "the scheme is tftp", "http or https"),
            ("buildos.controller_url=12=https://h/", "four digits", "priority"),
            ("buildos.controller_url=1000https://h/", "'=' is missing", "priority"),
            ("buildos.controller_url=21000=https://h/", "the first is 0 or 1", "priority"),
            ("buildos.instances=0", "0 is not from 1 to 99", "1 to 99"),
            ("buildos.instances=99999999999999999999", "not from 1 to 99", "1 to 99"),
            ("buildos.cpu_affinity=2-", "a number is missing", "0,2-3"),
            ("buildos.cpu_affinity=3-2", "runs backwards", "0,2-3"),
            ("buildos.cpu_affinity=0-9000", "not from 0 to 8191", "0,2-3"),
            ("buildos.cpu_affinity=0-2-3", "'0-2-3' is not a range", "0,2-3"),
            ("buildos.ram_total=0", "there is no RAM in it", "GiB"),
            ("buildos.ram_reserved=4G", "'4G' is not a whole number", "GiB"),
            ("buildos.ram_auxiliary=1.2345", "decimal places", "GiB"),
            ("buildos.admin_email=admin", "user@domain", "admin@example.org"),
            ("buildos.admin_email=|rm@example.org", "not a mail user", "admin@example.org"),
            ("buildos.admin_email=a@b@c", "user@domain", "admin@example.org"),
            ("buildos.admin_email=a@-b", "not part of a host name", "admin@example.org"),
            ("buildos.smtp_relay=mail:0", "not ':' and a port", "host name"),
            ("buildos.smtp_relay=\"a b\"", "not part of a host name", "host name"),
            ("buildos.ssh_key=ssh-rsa", "are the quotes around the value there?", "in quotes"),
            ("buildos.ssh_key=ssh-dss", "not the type of a public key", "in quotes"),
            ("buildos.ssh_key=\"ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIHsDWI2H\"", "not of type ssh-rsa", "in quotes"),
            ("buildos.ssh_key=\"ssh-ed25519 AAAA\"", "not of type ssh-ed25519", "in quotes"),
            ("buildos.reboot=hard", "it is not one of firmware, kexec", "firmware or kexec"),
            ("buildos.poll_interval=0", "0 is not from 1 to 86400", "1 to 86400"),
            ("buildos.nice", "it has no value", "-20 to 19"),
            ("buildos.nice=", "its value is empty", "-20 to 19"),
            ("buildos.nise=1", "there is no such parameter", "did you mean buildos.nice?"),
            ("buildos.cpu-affinity=1", "there is no such parameter", "did you mean buildos.cpu_affinity?"),
            ("buildos.Toolchain_URL=x", "there is no such parameter", "did you mean buildos.toolchain_url?"),
            ("buildos.frobnicate=1", "there is no such parameter", "the parameters are buildid_url"),
            ("buildos.=1", "there is no such parameter", "the parameters are"),
            ("buildos.cpu_reserved.x=1", "takes no toolchain name", "write buildos.cpu_reserved"),
        ]
    )
    func reported(text: String, cause: String, accepted: String) throws {
        let parsed = HostConfiguration.parse(commandLine: "quiet \(text) console=ttyS0")
        let error = try #require(parsed.errors.first)
        #expect(parsed.errors.count == 1)
        #expect(error.column == 7)
        #expect(error.subject == text.filter { $0 != "\"" })
        #expect(error.cause.contains(cause), "\(error.cause)")
        #expect(error.accepted.contains(accepted), "\(error.accepted)")
        #expect(error.description.contains(error.parameter))
    }

    @Test("CONF-4: all errors of a line are reported, in its order, and the rest of it holds")
    func all() {
        let parsed = HostConfiguration.parse(
            commandLine: """
                buildos.nice=20 root=/dev/sda1 buildos.bridge=br7 buildos.toolchain_url=http://h/t.sha256 \
                buildos.cpu_overcommit=3/0 buildos.instances=2 buildos.bad-key=1 \
                buildos.toolchain_url.a-b=http://h/t.sha256
                """
        )
        #expect(
            parsed.errors.map(\.parameter)
                == [
                    "buildos.nice", "buildos.bridge", "buildos.cpu_overcommit", "buildos.bad-key",
                    "buildos.toolchain_url.a-b",
                ]
        )
        #expect(parsed.configuration.toolchains.map(\.instances) == [2])
        #expect(parsed.configuration.toolchains.map(\.nice) == [0])
        #expect(parsed.configuration.cpuOvercommit == .one)
    }

    @Test("CONF-4: one broken toolchain leaves the others as they are")
    func brokenToolchain() {
        let parsed = HostConfiguration.parse(
            commandLine: """
                buildos.toolchain_url.one=nonsense buildos.instances.one=3 buildos.nice.one=4 \
                buildos.toolchain_url.two=http://h/t.sha256 buildos.instances.two=2
                """
        )
        #expect(parsed.errors.map(\.parameter) == ["buildos.toolchain_url.one"])
        #expect(parsed.configuration.toolchains.map(\.name.text) == ["two"])
    }

    @Test("CONF-4: parameters of a toolchain without a URL are errors; for 'default' a warning")
    func withoutURL() {
        let named = HostConfiguration.parse(commandLine: "buildos.nice.queue=1 buildos.bridge.queue=br0")
        #expect(named.errors.map(\.cause) == Array(repeating: "there is no toolchain 'queue'", count: 2))
        #expect(named.errors.allSatisfy { $0.accepted.contains("buildos.toolchain_url.queue") })
        let standard = HostConfiguration.parse(commandLine: "buildos.instances=3")
        #expect(standard.errors.isEmpty)
        #expect(standard.configuration.toolchains.isEmpty)
        #expect(standard.configuration.instancesWithoutToolchain == 3)
        #expect(standard.warnings.map(\.text).first?.contains("buildos.toolchain_url") == true)
    }

    @Test("CONF-4: a parameter given twice is an error, and the last valid value is taken")
    func twice() {
        let parsed = HostConfiguration.parse(
            commandLine: "buildos.cpu_reserved=1 buildos.cpu_reserved=2 buildos.cpu_reserved=x"
        )
        #expect(parsed.errors.count == 3)
        #expect(parsed.errors.first?.cause.contains("given before, at byte 1") == true)
        #expect(parsed.configuration.cpuReserved == 2)
        let explicit = HostConfiguration.parse(
            commandLine: "buildos.toolchain_url=http://h/t.sha1 buildos.nice=1 buildos.nice.default=2"
        )
        #expect(explicit.errors.map(\.parameter) == ["buildos.nice.default"])
        #expect(explicit.configuration.toolchains.map(\.nice) == [2])
    }

    @Test("a line that the kernel cuts, or parameters after '--', give a warning")
    func warnings() {
        let fill = String(repeating: "x", count: 2047 - 7)
        #expect(HostConfiguration.parse(commandLine: "a=\(fill)bcdef\n").warnings.isEmpty)
        #expect(HostConfiguration.parse(commandLine: "a=\(fill)bcdefg").warnings.count == 1)
        #expect(HostConfiguration.parse(commandLine: "-- buildos.nice=3").warnings.count == 1)
    }

    @Test("a host runs nine toolchains at most")
    func ten() {
        let line = (1...10).map { "buildos.toolchain_url.t\($0)=http://h/t.sha256" }.joined(separator: " ")
        let parsed = HostConfiguration.parse(commandLine: line)
        #expect(parsed.configuration.toolchains.map(\.number) == Array(1...9))
        #expect(parsed.errors.map(\.parameter) == ["buildos.toolchain_url.t10"])
    }

    @Test("parameters of others are passed over")
    func foreign() {
        let parsed = HostConfiguration.parse(
            commandLine:
                "BOOT_IMAGE=/x ro quiet console=ttyS0,115200n8 systemd.unit=rescue.target buildos_x=1 xbuildos.nice=99"
        )
        #expect(parsed.errors.isEmpty && parsed.warnings.isEmpty)
        #expect(parsed.configuration == HostConfiguration())
    }

    @Test("origins tell what was given, and where")
    func origins() {
        let configuration = HostConfiguration.parse(
            commandLine: "buildos.ssh_key=\"\(Sample.ed25519Key)\" buildos.ssh_key=\"\(Sample.rsaKey) x\""
        ).configuration
        #expect(configuration.origins["buildos.ssh_key"]?.count == 2)
        #expect(configuration.origins["buildos.ssh_key"]?.first == .commandLine(column: 1))
        #expect(configuration.isStandard(.sshKey) == false)
        #expect(configuration.isStandard(.ramReserved))
    }

    @Test("what can't be printed doesn't reach the console through an error")
    func hostileText() throws {
        let parsed = HostConfiguration.parse(commandLine: "buildos.x\u{1B}[2J=\u{202E}a\u{7}")
        #expect(try #require(parsed.errors.first).subject == "buildos.x?[2J=?a?")
    }
}
