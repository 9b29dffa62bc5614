import BuildOSKit
import Testing

extension EndToEndTests {
    /// The same host again, after a toolchain changed: one is new, the other's archive has a flipped bit.
    @Suite("2. Second boot", .serialized, .host { lab in try await MainHost.shape("boot2", pxe: false, in: lab) })
    struct Boot2 {
        let lab: Lab
        let host: VirtualHost

        init() throws {
            lab = try Lab.current
            host = try VirtualHost.current
        }

        @Test("SSH-1, STOR-1: after a reboot the host shows the same host key")
        func sameHostKey() async throws {
            try await host.isUp(within: .seconds(300))
            let keys = try await lab.check("ssh-keyscan", ["-t", "ed25519", Lab.namedAddress])
            #expect(await lab.notes.read("host key") == keys)
        }

        @Test("BOOT-2: what was changed in the root file system is gone")
        func changesAreGone() async throws {
            #expect(try await host.run("ls /etc/changed /usr/bin/changed /build/changed 2>/dev/null; true") == "")
        }

        @Test("BOOT-9, TOOL-6: the host runs the new toolchain; one that is refused doesn't keep it from that")
        func newToolchainRuns() async throws {
            try await host.agentsRun(["default-1", "default-2"], within: .seconds(240))
            #expect(try await host.run("cat /build/tftp/toolchains/default/version") == "0.5.0")
            let arguments = try await host.run("cat /build/bbot-agent-default-1.arguments")
            #expect(arguments.contains("--toolchain-ver\n0.5.0\n"))
            #expect(
                try await host.run("readlink /build/tftp/toolchains/default/build2-toolchain-tar.xz")
                    == "build2-toolchain-0.5.0.tar.xz"
            )
        }

        @Test("TOOL-3, MAIL-2: an archive that fails its checksum is refused, and mail says so")
        func corruptArchive() async throws {
            let mail = try await lab.mail(
                with: ["X-Recipient: <admin@example.org>", "toolchain dev is refused"],
                within: .seconds(60)
            )
            #expect(mail.contains("build2-toolchain-0.19.0-a.1.tar.xz"), "\(mail)")
            #expect(mail.contains("build1"))
            let files = try await host.run(
                "find /build/tftp/toolchains/dev/ /build/toolchains/dev/ -type f 2>/dev/null; true"
            )
            #expect(files == "")
            #expect(try await host.run("buildosctl status").contains("dev"))
        }

        @Test("MACH-6: strays among the machines were removed; machines were not")
        func strays() async throws {
            #expect(
                try await host.run("ls /build/machines/default/linux-gcc_6") == """
                    linux-gcc_6-1
                    linux-gcc_6-1.0
                    linux-gcc_6-default
                    """
            )
        }

        @Test("No panic, no oops, no failed unit on the console")
        func console() async throws {
            #expect(try await host.run("systemctl --failed --no-legend --plain") == "")
            #expect(try host.serial.alarms == [])
        }

        @Test("BOOT-8, MAIL-2: when the build id changes, the host says so by mail and reboots")
        func buildIDChanges() async throws {
            try lab.publishBuildID("0000000000000000000000000000000000000000000000000000000000000000\n")
            try await host.reboots(within: .seconds(90))
            #expect(try host.serial.alarms == [])
            _ = try await lab.mail(with: ["X-Recipient: <admin@example.org>", "reboot"], within: .seconds(1))
        }
    }
}
