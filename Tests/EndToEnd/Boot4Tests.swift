import BuildOSKit
import Testing

extension EndToEndTests {
    /// Everything an operator can get wrong at once, on a small machine without a network's help.
    @Suite(
        "4. Bad parameters, a corrupt state disk, 1 GiB of RAM",
        .serialized,
        .host { lab in
            let state = try await Disk.state("state4", in: lab)
            try await state.corrupt()
            return HostShape(
                name: "boot4",
                identity: "direct",
                firmware: .direct(sshPort: 22_522, append: try lab.commonParameters() + badParameters),
                memory: 1024,
                disks: [state, try await Disk.machines("machines4", in: lab)]
            )
        }
    )
    struct Boot4 {
        let lab: Lab
        let host: VirtualHost

        init() throws {
            lab = try Lab.current
            host = try VirtualHost.current
        }

        @Test("BOOT-3, BOOT-7: the image boots from QEMU directly in 1 GiB of RAM")
        func boots() async throws {
            try await host.isUp(within: .seconds(300))
            try await host.systemReachesItsTarget()
            let memory = try await host.run("sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")
            #expect(try #require(Int(memory)) > 200_000, "KiB available")
        }

        @Test("NET-2: without a name from DHCP the host is named after its MAC address")
        func generatedName() async throws {
            let mac = try await host.run("cat /sys/class/net/br0/address")
            let digits = mac.filter { $0 != ":" }
            #expect(try await host.run("cat /proc/sys/kernel/hostname") == "build-\(digits.suffix(10))")
        }

        @Test("CONF-4: every bad parameter is reported, with what is accepted, where an operator looks")
        func reports() async throws {
            let file = try await host.run("cat /run/buildos/config-errors.txt")
            for parameter in badParameters {
                #expect(file.contains(parameter), "\(file)")
                #expect(try host.serial.contains(parameter))
            }
            #expect(file.contains("-20 to 19") && file.contains("br0 or br1"))
            #expect(try await host.run("cat /etc/motd").contains("buildos.nice=20"))
        }

        @Test("STOR-5: a corrupt state disk doesn't stop the boot; it is reported")
        func corruptState() async throws {
            #expect(try host.serial.text.contains("buildos: storage: the state disk"))
            #expect(try await host.run("test -d /state && sudo touch /state/written && echo usable") == "usable")
        }

        @Test("No panic, no oops, no failed unit on the console")
        func console() async throws {
            #expect(try await host.run("systemctl --failed --no-legend --plain") == "")
            #expect(try host.serial.alarms.filter { !$0.contains("EXT4-fs error") } == [])
        }
    }
}

private let badParameters = [
    "buildos.nice=20", "buildos.bridge=br7", "buildos.cpu_overcommit=3/0", "buildos.instances.a-b=2",
    "buildos.toolchain_url=gopher://example.org/toolchain.sha256", "buildos.colour=red",
]
