import BuildOSKit
import Testing

@Suite("Privileged requests") struct PrivilegedRequestTests {
    @Test("TOOL-7: what the monitor asks for is what root reads")
    func roundTrip() throws {
        let toolchain = try ToolchainName("t_2")
        for request: PrivilegedRequest in [
            .startAgent(.builtin, toolchain, instance: 1), .stopAgent(.default, instance: 99), .reboot(.firmware),
            .cleanMachines,
            .noteReboot(try #require(BuildID("20251124-bbbbbbbb"))),
            .reboot(.kexec(kernel: "/build/kexec/buildos-image", initrd: "/build/kexec/buildos-initrd")),
        ] { #expect(try PrivilegedRequest(arguments: request.arguments) == request) }
    }

    @Test(
        "Root refuses everything else",
        arguments: [
            [], [""], ["sh"], ["agents"], ["agents", "start"], ["agents", "start", "bbot", "default"],
            ["agents", "start", "default", "1"], ["agents", "start", "root", "default", "1"],
            ["agents", "start", "bbot", "default", "0"], ["agents", "start", "bbot", "default", "100"],
            ["agents", "start", "bbot", "default", "1", "2"], ["agents", "start", "bbot", "default", "01"],
            ["agents", "start", "bbot", "default", "-1"], ["agents", "start", "bbot", "default", "1.service ssh"],
            ["agents", "start", "bbot", "../../ssh", "1"], ["agents", "start", "bbot", "a-b", "1"],
            ["agents", "start", "bbot", "", "1"],
            ["agents", "start", "bbot", "--force", "1"], ["agents", "start", "bbot", "a\nb", "1"],
            ["agents", "restart", "default", "1"], ["agents", "stop", "bbot", "default", "1"],
            ["agents", "start", "bbot", "default", "１"], ["reboot", "now"], ["reboot", "--kexec"],
            ["reboot", "--force"],
            ["reboot", "--kexec", "--kernel", "/build/kexec/k"],
            ["reboot", "--kexec", "--kernel", "/tmp/k", "--initrd", "/build/kexec/i"],
            ["reboot", "--kexec", "--kernel", "/build/kexec/../../tmp/k", "--initrd", "/build/kexec/i"],
            ["reboot", "--kexec", "--kernel", "/build/kexec/", "--initrd", "/build/kexec/i"],
            ["reboot", "--kexec", "--kernel", "/build/kexecute/k", "--initrd", "/build/kexec/i"],
            ["reboot", "--kexec", "--kernel", "/build/kexec/-k", "--initrd", "/build/kexec/i"],
            ["reboot", "--kexec", "--kernel", "/build/kexec/a/k", "--initrd", "/build/kexec/i"],
            ["note-reboot"], ["note-reboot", "no"], ["note-reboot", " 20251124-bbbbbbbb"], ["clean-machines", "/"],
            ["Reboot"], ["reboot "],
        ]
    )
    func refused(arguments: [String]) {
        #expect(throws: PrivilegedRequest.ParseError.self) { try PrivilegedRequest(arguments: arguments) }
    }

    @Test("TOOL-7: agents are systemd units, started afresh even after systemd gave them up")
    func steps() throws {
        let unit = "bbot-agent@default-2.service"
        #expect(
            PrivilegedRequest.startAgent(.bbot, .default, instance: 2).steps.map(\.command) == [
                Command("systemctl", ["reset-failed", unit]), Command("systemctl", ["start", unit]),
            ]
        )
        #expect(PrivilegedRequest.startAgent(.bbot, .default, instance: 2).steps.map(\.mayFail) == [true, false])
        #expect(
            PrivilegedRequest.stopAgent(.default, instance: 2).steps.map(\.command) == [
                Command("systemctl", ["stop", unit, "buildos-agent@default-2.service"])
            ]
        )
    }

    @Test("BOOT-12: kexec keeps the command line, and goes down in order")
    func kexec() {
        let request = RebootRequest.kexec(kernel: "/build/kexec/k", initrd: "/build/kexec/i")
        #expect(
            PrivilegedRequest.reboot(request).steps.map(\.command) == [
                Command("kexec", ["--load", "/build/kexec/k", "--initrd=/build/kexec/i", "--reuse-cmdline"]),
                Command("systemctl", ["kexec"]),
            ]
        )
        #expect(PrivilegedRequest.reboot(.firmware).steps.map(\.command) == [Command("systemctl", ["reboot"])])
    }
}
