import BuildOSKit
import TestSupport
import Testing

@Suite struct AgentUnitTests {
    private func dropIns(_ line: String, key: Bool = false) throws -> [HostFile] {
        let parsed = HostConfiguration.parse(commandLine: line)
        #expect(parsed.errors.isEmpty)
        let machine = MachineResources(cpus: 8, ram: MemorySize(gibibytes: 64))
        let plan = try #require(ResourcePlan.make(for: parsed.configuration, on: machine).plan)
        return AgentUnit.all(of: parsed.configuration).map { $0.dropIn(resources: plan, hasAuthenticationKey: key) }
    }

    @Test("TOOL-7, RES-1, RES-2, RES-3: an instance's slice, nice value, affinity and controllers are in its unit")
    func whole() throws {
        let files = try dropIns(
            """
            buildos.toolchain_url.queue=http://h/q.sha256 buildos.instances.queue=2 buildos.nice.queue=7 \
            buildos.bridge.queue=br0 buildos.agent.queue=bbot buildos.controller_url.queue=1000=https://c.example/?a=%41$x \
            buildos.controller_url.queue=https://d.example/ buildos.controller_trust.queue=\(Sample.fingerprint) \
            buildos.toolchain_url=http://h/d.sha256 buildos.cpu_overcommit=3/2 buildos.cpu_affinity=0,2-3 \
            buildos.ram_auxiliary=12 buildos.ram_total=64 buildos.agent=builtin
            """,
            key: true
        )
        #expect(
            files.map(\.path)
                == [
                    "/etc/systemd/system/buildos-agent@default-1.service.d/buildos.conf",
                    "/etc/systemd/system/bbot-agent@queue-1.service.d/buildos.conf",
                    "/etc/systemd/system/bbot-agent@queue-2.service.d/buildos.conf",
                ]
        )
        #expect(
            files[2].content == """
                # Made by 'buildosd init' at this boot.
                [Unit]
                Description=Build agent 2 of toolchain queue
                [Service]
                EnvironmentFile=/run/buildos/agents/queue.env
                Nice=7
                CPUAffinity=0,2-3
                ExecStart=
                ExecStart=/build/toolchains/queue/bin/bbot-agent --toolchain-name queue --toolchain-num 2 \
                --toolchain-ver ${BUILDOS_TOOLCHAIN_VERSION} --toolchain-id ${BUILDOS_TOOLCHAIN_ID} --instance 2 \
                --cpu 4 --build-ram 16777216 --auxiliary-ram 4194304 --bridge br0 \
                --auth-key /state/bbot/auth-key.pem --trust \(Sample.fingerprint) \
                "1000=https://c.example/?a=%%41$$x" https://d.example/

                """
        )
    }

    @Test(
        "TOOL-7: the builtin agent reads all but its name from the kernel's command line; undecided, both are prepared"
    )
    func builtin() throws {
        let files = try dropIns("buildos.toolchain_url=http://h/d.sha256 buildos.nice=3")
        #expect(
            files.map(\.path) == [
                "/etc/systemd/system/bbot-agent@default-1.service.d/buildos.conf",
                "/etc/systemd/system/buildos-agent@default-1.service.d/buildos.conf",
            ]
        )
        #expect(
            files[1].content == """
                # Made by 'buildosd init' at this boot.
                [Unit]
                Description=Build agent 1 of toolchain default
                [Service]
                EnvironmentFile=/run/buildos/agents/default.env
                Nice=3
                ExecStart=
                ExecStart=/usr/bin/buildosd agent --toolchain default --instance 1 --stand-by

                """
        )
    }

    @Test("TOOL-6: toolchains differ in nice value and bridge; without affinity none is set")
    func standard() throws {
        let file = try #require(try dropIns("buildos.toolchain_url=http://h/d.sha256").first)
        #expect(file.content.contains("\nNice=0\n"))
        #expect(file.content.contains(" --bridge br1\n"))
        #expect(!file.content.contains("CPUAffinity") && !file.content.contains("--auth-key"))
    }

    @Test(
        "an argument in a unit file reaches the program as it is",
        arguments: [
            ("plain-1.0/x", "plain-1.0/x"), ("", "\"\""), ("a b", "\"a b\""), ("100%", "\"100%%\""),
            ("$HOME", "\"$$HOME\""), ("a\"b\\c", "\"a\\\"b\\\\c\""), ("a\nb\u{1B}", "\"a\\nb\\x1b\""), (";", "\";\""),
            ("'", "\"'\""), ("ü", "\"ü\""),
        ]
    )
    func quoting(text: String, expected: String) {
        #expect(SystemdSyntax.argument(text) == expected)
    }
}
