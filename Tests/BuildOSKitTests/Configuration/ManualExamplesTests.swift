import BuildOSKit
import TestSupport
import Testing

/// Every example of configuration in the manual, in its own words.
@Suite struct ManualExamplesTests {
    @Test("CONF-1: the manual's PXELINUX line")
    func networkBoot() throws {
        let parsed = HostConfiguration.parse(
            commandLine: """
                buildos.smtp_relay=example.org buildos.admin_email=admin@example.org \
                buildos.buildid_url=tftp://10.1.1.1/buildos/buildos-buildid \
                buildos.toolchain_url=https://toolchain.example.org/toolchain.sha256 \
                buildos.toolchain_trust=\(Sample.fingerprint)
                """
        )
        #expect(parsed.errors.isEmpty)
        #expect(parsed.warnings.isEmpty)
        let configuration = parsed.configuration
        #expect(configuration.smtpRelay?.description == "example.org")
        #expect(configuration.adminEmail?.text == "admin@example.org")
        #expect(configuration.buildIDURL?.description == "tftp://10.1.1.1/buildos/buildos-buildid")
        let toolchain = try #require(configuration.toolchains.first)
        #expect(configuration.toolchains.count == 1)
        #expect(toolchain.name == .default)
        #expect(toolchain.url.description == "https://toolchain.example.org/toolchain.sha256")
        #expect(toolchain.trust.description == Sample.fingerprint)
        #expect(toolchain.instances == 1 && toolchain.nice == 0 && toolchain.bridge == .br1)
    }

    @Test("CONF-1: the manual's CPU and RAM examples")
    func processorsAndMemory() {
        let parsed = HostConfiguration.parse(
            commandLine: "buildos.cpu_overcommit=3/2 buildos.cpu_affinity=2-9 "
                + "buildos.ram_total=64\nbuildos.ram_reserved=4\nbuildos.ram_auxiliary=12"
        )
        #expect(parsed.errors.isEmpty)
        #expect(parsed.configuration.cpuOvercommit.description == "3/2")
        #expect(parsed.configuration.cpuAffinity?.cpus == Array(2...9))
        #expect(parsed.configuration.ramTotal == MemorySize(gibibytes: 64))
        #expect(parsed.configuration.ramReserved == MemorySize(gibibytes: 4))
        #expect(parsed.configuration.ramAuxiliary == MemorySize(gibibytes: 12))
    }

    @Test("CONF-2: the manual's SSH key, with its quotes, is one value")
    func key() {
        let line = KernelCommandLine("quiet buildos.ssh_key=\"ssh-rsa AAA...OA0DB user@host\" console=ttyS0")
        #expect(line.parameters.map(\.value) == [nil, "ssh-rsa AAA...OA0DB user@host", "ttyS0"])
        // The manual shortens the key. As it stands there it would let nobody in, so it is reported.
        let shortened = HostConfiguration.parse(line)
        #expect(shortened.errors.map(\.cause) == ["'AAA...OA0DB' is not base 64; was the key shortened?"])
        let whole = HostConfiguration.parse(commandLine: "buildos.ssh_key=\"\(Sample.rsaKey) user@host\"")
        #expect(whole.errors.isEmpty)
        #expect(whole.configuration.sshKeys.map(\.description) == ["\(Sample.rsaKey) user@host"])
    }

    @Test("CONF-3: a name after the dot is a toolchain, none is the toolchain 'default'")
    func toolchains() throws {
        let parsed = HostConfiguration.parse(
            commandLine: """
                buildos.toolchain_url.queue=http://a.example/q.sha512 buildos.instances.queue=2 buildos.nice.queue=10 \
                buildos.bridge.queue=br0 buildos.toolchain_trust.queue=yes \
                buildos.controller_url.queue=1000=https://c.example/ \
                buildos.controller_url.queue=https://d.example/?build-task \
                buildos.controller_trust.queue=\(Sample.fingerprint) \
                buildos.toolchain_url=http://a.example/d.sha256 buildos.nice=-20 buildos.instances=3
                """
        )
        #expect(parsed.errors.isEmpty)
        #expect(parsed.configuration.toolchains.map(\.name.text) == ["default", "queue"])
        #expect(parsed.configuration.toolchains.map(\.number) == [1, 2])
        #expect(parsed.configuration.toolchains.map(\.instances) == [3, 2])
        #expect(parsed.configuration.toolchains.map(\.nice) == [-20, 10])
        let queue = try #require(parsed.configuration.toolchain(ToolchainName("queue")))
        #expect(queue.bridge == .br0)
        #expect(queue.trust == .yes)
        #expect(queue.controllers.map(\.priority) == ["1000", nil])
        #expect(queue.controllers.map(\.description) == ["1000=https://c.example/", "https://d.example/?build-task"])
        #expect(queue.controllerTrust.map(\.description) == [Sample.fingerprint])
        #expect(parsed.configuration.toolchains[0].trust == .no)
    }
}

/// Values for command lines in tests.
enum Sample {
    static let fingerprint = (0..<32).map { _ in "A7" }.joined(separator: ":")
    static let ed25519Key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsDWI2HqZxGJhpVQmQ2p2Zf9ZkdSkSBOdTcL4bsZVxS"
    static let rsaKey = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDD"
}
