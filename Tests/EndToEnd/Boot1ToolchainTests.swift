import BuildOSKit
import FoundationEssentials
import Testing

extension EndToEndTests.Boot1 {
    @Test("TOOL-7: the agents of both toolchains are running")
    func agentsRun() async throws {
        try await host.agentsRun(["default-1", "default-2", "dev-1"], within: .seconds(240))
    }

    @Test("TOOL-2: a toolchain's files are as in the manual's example")
    func toolchainFiles() async throws {
        let listing = try await host.run(
            "cd /build/tftp/toolchains/default/ && find . -mindepth 1 ! -name '.*' -printf '%P -> %l\\n' | sort"
        )
        #expect(
            listing == """
                build2-baseutils-0.4.0-x86_64-windows.zip -> 
                build2-baseutils-x86_64-windows.zip -> build2-baseutils-0.4.0-x86_64-windows.zip
                build2-mingw-0.4.0-x86_64-windows.tar.xz -> 
                build2-mingw-x86_64-windows.tar.xz -> build2-mingw-0.4.0-x86_64-windows.tar.xz
                build2-toolchain-0.4.0.tar.xz -> 
                build2-toolchain-tar.xz -> build2-toolchain-0.4.0.tar.xz
                trust -> 
                version -> 
                """
        )
        let contents = try await host.run("cd /build/tftp/toolchains/default && cat version trust")
        #expect(contents.split(separator: "\n") == ["0.4.0", Substring(try await lab.toolchainTrust())])
        let sums = try await host.run(
            "cd /build/tftp/toolchains/default && sha256sum build2-*-*.*.*-*.* build2-toolchain-0.4.0.tar.xz"
        )
        let published = try FileTree.readText(lab.web.appending("default/toolchain.sha256"))
        for line in sums.split(separator: "\n") {
            #expect(published.contains(line.prefix(64)), "\(line)")
        }
    }

    @Test("TOOL-5, TOOL-6: both toolchains are bootstrapped from their archives, with their bots")
    func bootstrapped() async throws {
        for (name, version) in [("default", "0.4.0"), ("dev", "0.19.0-a.0.20260601123456.abcdef123456")] {
            for (program, label) in [("b", "build2"), ("bpkg", "bpkg"), ("bbot-agent", "bbot-agent")] {
                let file = "$(find /build/toolchains/\(name)/ -name \(program) -path '*/bin/*' | head -n 1)"
                #expect(try await host.run("\(file) --version | head -n 1") == "\(label) \(version)")
            }
            let log = try await host.run("cat /build/logs/toolchain-\(name).log")
            #expect(log.contains("Toolchain installation: "))
            #expect(log.contains("installed bbot/\(version)"))
        }
        #expect(try await host.run("stat -c %U /build/toolchains/* | sort -u") == "build")
    }

    @Test("TOOL-6, RES-3: each agent has its toolchain's nice value, and keeps to the CPUs it may use")
    func niceAndAffinity() async throws {
        for (agent, nice) in [("default-1", "5"), ("default-2", "5"), ("dev-1", "-3")] {
            let process = try await host.run("systemctl show --property MainPID --value bbot-agent@\(agent).service")
            #expect(
                try await host.run("ps -o user=,ni=,comm= -p \(process)").split(separator: " ") == [
                    "build", Substring(nice), "bbot-agent",
                ]
            )
            #expect(try await host.run("taskset -cp \(process)").hasSuffix("list: 1"))
        }
    }

    @Test("RES-1, RES-2, TOOL-6: each agent is given its slice, its bridge, its controllers and its trust")
    func slices() async throws {
        // 2 CPUs * 9/2 / 3 agents; (16 - 4 - 3) GiB / 3 and 3 GiB / 3.
        let common = ["--cpu 3", "--build-ram \(3 << 20)", "--auxiliary-ram \(1 << 20)"]
        for (agent, own) in [
            (
                "default-1",
                [
                    "--toolchain-name default", "--toolchain-num 1", "--toolchain-ver 0.4.0", "--instance 1",
                    "--bridge br1", "--trust \(MainHost.controllerTrust)", "https://one.example.org/?build-task",
                    "0100=https://two.example.org/",
                ]
            ),
            ("default-2", ["--toolchain-name default", "--instance 2", "--bridge br1"]),
            (
                "dev-1",
                [
                    "--toolchain-name dev", "--toolchain-num 2", "--instance 1", "--bridge br0",
                    "--toolchain-ver 0.19.0-a.0.20260601123456.abcdef123456", "https://dev.example.org/",
                ]
            ),
        ] {
            let arguments = try await host.run("cat /build/bbot-agent-\(agent).arguments")
            let words = " " + arguments.split(separator: "\n").joined(separator: " ") + " "
            for expected in common + own { #expect(words.contains(" \(expected) "), "\(agent): \(words)") }
        }
        let dev = try await host.run("cat /build/bbot-agent-dev-1.arguments")
        #expect(!dev.contains("one.example.org") && !dev.contains("--trust"))
    }

    @Test("TOOL-7: an agent that dies is started again")
    func restartedAgent() async throws {
        let unit = "bbot-agent@default-2.service"
        let process = try await host.run("systemctl show --property MainPID --value \(unit)")
        try await host.run("kill -KILL \(process)")
        try await eventually("another process of \(unit)", within: .seconds(30)) {
            let now = try await host.run("systemctl show --property MainPID --value \(unit)")
            return now != "0" && now != process
        }
    }

    @Test("BOOT-5: the status says what the host is doing, in a file and by a command")
    func status() async throws {
        let file = try await host.run("cat /run/buildos/status.json")
        #expect(throws: Never.self) { try JSONDecoder().decode(AnyJSON.self, from: Data(file.utf8)) }
        for word in ["default", "dev", "0.4.0", "running"] { #expect(file.contains("\"\(word)\""), "\(file)") }
        let text = try await host.run("buildosctl status")
        #expect(text.contains("0.4.0") && text.contains("0.19.0-a.0.20260601123456.abcdef123456"), "\(text)")
    }

    @Test("MACH-6: machines are made, and strays among them for the next start of the monitor to find")
    func leaveStrays() async throws {
        try await host.run(
            """
            set -e
            cd /build/machines/default
            mkdir linux-gcc_6
            cd linux-gcc_6
            btrfs subvolume create linux-gcc_6-1.0
            btrfs property set -ts linux-gcc_6-1.0 ro true
            ln -s linux-gcc_6-1.0 linux-gcc_6-1
            btrfs subvolume snapshot linux-gcc_6-1.0 linux-gcc_6-default
            btrfs subvolume snapshot linux-gcc_6-1.0 linux-gcc_6-default-a1b
            btrfs subvolume snapshot linux-gcc_6-1.0 linux-gcc_6-old
            """
        )
    }

    @Test("No panic, no oops, no failed unit on the console")
    func console() throws {
        #expect(try host.serial.alarms == [])
    }

    @Test("TOOL-3, MAIL-2: a toolchain that changes into a corrupt one is refused, and what runs goes on")
    func corruptUpdate() async throws {
        let before = try await host.run("systemctl show --property MainPID --value bbot-agent@dev-1.service")
        try await lab.publishToolchain("dev", version: "0.19.0-a.1", corrupt: true)
        let mail = try await lab.mail(
            with: ["X-Recipient: <admin@example.org>", "toolchain dev can't be updated"],
            within: .seconds(60)
        )
        #expect(mail.contains("build2-toolchain-0.19.0-a.1.tar.xz"), "\(mail)")
        let after = try await host.run("systemctl show --property MainPID --value bbot-agent@dev-1.service")
        #expect(before == after)
        let version = try await host.run("cat /build/tftp/toolchains/dev/version")
        #expect(version == "0.19.0-a.0.20260601123456.abcdef123456")
    }

    @Test("BOOT-9, BOOT-11: when a toolchain changes, the host waits for its builds up to a limit, then reboots")
    func toolchainChanges() async throws {
        // Whatever has the name of a snapshot that a build runs in is taken for one: the stray keeps the host waiting.
        try await lab.publishToolchain("default", version: "0.5.0")
        try await host.serialShows("toolchain dev: stopped", within: .seconds(60))
        #expect(try !host.serial.contains("toolchain default: stopped"))
        try await host.reboots(within: .seconds(90))
        #expect(try host.serial.contains("toolchain default: stopped"))
        #expect(try host.serial.alarms == [])
    }
}

/// Any JSON value; what is in it doesn't matter.
private struct AnyJSON: Decodable {
    init(from decoder: any Decoder) throws { _ = try decoder.singleValueContainer() }
}

extension VirtualHost {
    /// Waits until systemd has started everything; what failed is an issue.
    func systemReachesItsTarget() async throws {
        var state = "starting"
        try await eventually("systemd's target on \(shape.name)", within: .seconds(120)) {
            state = try await attempt("systemctl is-system-running").outputText.trimmingSuffix(while: \.isNewline)
            return !["initializing", "starting", ""].contains(state)
        }
        #expect(state == "running")
        #expect(try await run("systemctl --failed --no-legend --plain") == "")
    }

    /// Waits until these instances of agents, and no others, are active.
    func agentsRun(_ instances: [String], within limit: Duration) async throws {
        var last = ""
        do {
            try await eventually("agents", within: limit, every: .milliseconds(500)) {
                try failIfDead("its agents ran")
                last = try await run("systemctl list-units --plain --no-legend --all 'bbot-agent@*' 2>&1; true")
                let active = last.split(separator: "\n").filter { $0.contains(" active ") && $0.contains(" running ") }
                    .compactMap { $0.split(separator: " ").first }
                return active.map(String.init).sorted() == instances.map { "bbot-agent@\($0).service" }.sorted()
            }
        } catch is LabError {
            let journal = try await attempt("sudo journalctl -b --no-pager -n 60 -u buildos -u 'bbot-agent@*'")
                .outputText
            let status = try await attempt("cat /run/buildos/status.json").outputText
            throw LabError("waited \(limit) for the agents \(instances); now:\n\(last)\n\(status)\n\(journal)")
        }
    }
}
