import BuildOSKit
import Glibc
import TestSupport
import Testing

/// An agent at a desk, with all that it needs around it: a bridge with DHCP, a volume with a machine, a toolchain, a web
/// server with packages, and a controller that believes nothing.
struct AgentLab {
    let lab: Lab
    /// What the agent takes for the root of the file system.
    let root: FilePath
    let volume: FilePath

    static let address = "10.98.0.1"

    var controller: LabController { LabController(lab: lab, address: Self.address) }
    /// A controller of a higher priority: its tasks interrupt those of the other.
    var urgentController: LabController { LabController(lab: lab, address: Self.address, port: 8091) }
    var machine: FilePath { volume.appending("linux") }
    /// An auxiliary machine: a web server with one page, and another that ends it.
    static let site = "x86_64-site"
    var status: FilePath { root.appending("run/buildos/agents/default-1.json") }

    /// Runs a closure with all of it, but for the agent.
    static func with(_ lab: Lab, _ body: (AgentLab) async throws -> Void) async throws {
        try await withVolume("btrfs", mebibytes: 6144, by: lab.transport) { volume in
            let agentLab = AgentLab(lab: lab, root: lab.directory.appending("agent-root"), volume: volume)
            try await agentLab.makeMachine()
            try await agentLab.makeRoot()
            try await agentLab.makeNetwork()
            let outcome: Result<Void, any Error>
            do { outcome = .success(try await agentLab.withServers { try await body(agentLab) }) } catch {
                outcome = .failure(error)
            }
            try await lab.check("ip", ["link", "delete", "br1"])
            try await lab.transport.check(Command("umount", [agentLab.mountPoint.string]))
            try outcome.get()
        }
    }

    private var mountPoint: FilePath { root.appending("build/machines/m") }

    private func makeMachine() async throws {
        let service = lab.directory.appending("service")
        try FileTree.write(
            """
            #!/bin/sh
            mkdir -p /srv/cgi-bin && echo 'a word from beside' >/srv/word || exit 1
            printf '#!/bin/sh\\nbusybox poweroff -f\\n' >/srv/cgi-bin/end && chmod +x /srv/cgi-bin/end || exit 1
            busybox httpd -p 8080 -h /srv >&2 || exit 1
            echo "PORT='8080'"

            """,
            to: service
        )
        async let linux: Void = add("linux", ["--summary", "Debian 12"])
        async let site: Void = add(Self.site, ["--auxiliary", "--service", service.string])
        _ = try await (linux, site)
    }

    private func add(_ name: String, _ options: [String]) async throws {
        let directory = volume.appending(name)
        try FileTree.makeDirectory(directory)
        try await lab.makeMachine(at: directory.appending("\(name)-1.0"), options)
        try await lab.check("ln", ["-s", "\(name)-1.0", directory.appending("\(name)-1").string])
    }

    /// Another machine of the same content as ``machine``.
    func addSecondMachine() async throws {
        let directory = volume.appending("second")
        let image = directory.appending("second-1.0")
        try FileTree.makeDirectory(directory)
        try await lab.check(
            "btrfs",
            ["subvolume", "snapshot", machine.appending("linux-1.0").string, image.string]
        )
        let file = image.appending(MachineManifest.fileName)
        var manifest = try MachineManifest(machineAt: image)
        (manifest.header.name, manifest.header.id) = ("second", "second-1.0")
        try FileTree.write(try ManifestSerializer.serialize([manifest.manifest]), to: file)
        try await lab.check("btrfs", ["property", "set", image.string, "ro", "true"])
        try await lab.check("ln", ["-s", "second-1.0", directory.appending("second-1").string])
    }

    private func makeRoot() async throws {
        let files = root.appending("build/tftp/toolchains/default")
        for directory in [files, mountPoint, root.appending("proc"), root.appending("run"), root.appending("state")] {
            try FileTree.makeDirectory(directory)
        }
        try await lab.transport.check(Command("mount", ["--bind", volume.string, mountPoint.string]))
        try await lab.publishToolchain("agent", version: "0.18.0")
        try await lab.transport.check(
            Command(
                "cp",
                [
                    lab.web.appending("agent/0.18.0/build2-toolchain-0.18.0.tar.xz").string,
                    files.appending("build2-toolchain-tar.xz").string,
                ]
            )
        )
        try FileTree.write("\(try await lab.toolchainTrust())\n", to: files.appending("trust"))
        try FileTree.write(
            "buildos.toolchain_url=http://\(Self.address)/agent/toolchain.sha256 buildos.ram_total=7 "
                + "buildos.ram_auxiliary=1 buildos.interactive=both buildos.instances=2 "
                + "buildos.controller_url=\(controller.url)/?build-task "
                + "buildos.controller_url=1000=\(urgentController.url)/?build-task",
            to: root.appending("proc/cmdline")
        )
    }

    private func makeNetwork() async throws {
        for arguments in [
            ["link", "add", "br1", "type", "bridge"], ["address", "add", "\(Self.address)/24", "dev", "br1"],
            ["link", "set", "br1", "up"], ["route", "add", "default", "dev", "br1"],
        ] {
            try await lab.check("ip", arguments)
        }
    }

    private func withServers(_ body: () async throws -> Void) async throws {
        let names = lab.inside(
            "dnsmasq",
            [
                "--keep-in-foreground", "--conf-file", "--user=root", "--pid-file", "--log-facility=-", "--port=0",
                "--interface=br1", "--bind-interfaces", "--dhcp-range=10.98.0.100,10.98.0.199,255.255.255.0,1h",
                "--dhcp-leasefile=\(lab.directory)/agent-leases",
            ]
        )
        let web = lab.inside(
            "python3",
            ["-m", "http.server", "8080", "--bind", Self.address, "--directory", lab.web.string]
        )
        let packages = "http://\(Self.address):8080"
        try await lab.withProgram("agent-dnsmasq", names) {
            try await lab.withProgram("agent-web", web) {
                try await controller.run(repository: packages) {
                    try await urgentController.run(repository: packages, body)
                }
            }
        }
    }

    /// Gives one task, and waits for its result.
    func build(within limit: Duration = .seconds(240)) async throws -> String {
        let before = try await controller.results().count
        try await controller.control("tasks=1")
        try await eventually("the result of a build", within: limit, every: .seconds(1)) {
            try await controller.results().count > before
        }
        return try await controller.results().last ?? ""
    }

    /// Runs an agent as long as the closure runs.
    ///
    /// - Parameter programs: a directory with programs that come before those of the system.
    func withAgent(
        _ options: [String] = [],
        instance: Int = 1,
        virtualMachines: String = "qemu",
        programs: FilePath? = nil,
        _ body: () async throws -> Void
    ) async throws {
        let options = ["--instance", "\(instance)", "--virtual-machines", virtualMachines] + options
        let name = instance == 1 ? "agent" : "agent\(instance)"
        try await lab.withProgram(name, agent(options, programs), body) {
            // It has the time that it takes, as from systemd.
            let agent = try agentStatus(instance).processId
            kill(agent, SIGTERM)
            try await eventually("the agent's end", within: .seconds(60)) { kill(agent, 0) != 0 }
        }
    }

    /// Runs an agent, and kills it, which it can't do anything about, when the closure has ended.
    func withAgentToBeKilled(_ body: () async throws -> Void) async throws {
        let log = CommandOutput.appended(to: lab.logs.appending("agent.log"))
        let command = agent(["--instance", "1", "--virtual-machines", "qemu"], nil)
        let transport = lab.transport
        let agent = Task {
            try await transport.run(command, input: .none, output: log, error: log, timeLimit: nil)
        }
        do {
            try await body()
            kill(try agentStatus().processId, SIGKILL)
        } catch {
            agent.cancel()
            _ = await agent.result
            throw error
        }
        #expect(try await agent.value.status == .signalled(SIGKILL))
    }

    private func agent(_ options: [String], _ programs: FilePath?) -> Command {
        let path = HostProcess.environmentVariable("PATH") ?? "/usr/sbin:/usr/bin"
        return lab.inNetwork(
            "env",
            [
                "PATH=\(programs.map { "\($0):" } ?? "")\(path)", StagedTree.program("buildosd").string, "agent",
                "--toolchain", "default", "--toolchain-version", "0.18.0", "--toolchain-id", "t1",
                "--root", root.string, "--poll-interval", "1", "--stand-by",
            ] + options
        )
    }

    /// The lines that agents have logged so far.
    func agentLog() throws -> [Substring] {
        try FileTree.readText(lab.logs.appending("agent.log"), limit: 1 << 22).split(separator: "\n")
    }

    /// Has no guest's request reach an agent as long as the closure runs: to the agent, none of them asks.
    func withGuestsUnheard(_ body: () async throws -> Void) async throws {
        let table = "unheard"
        // Before the agent's own rules, which have the priority dstnat, -300.
        let hook = "{ type filter hook prerouting priority -400; }"
        try await lab.check("nft", ["add table bridge \(table); add chain bridge \(table) requests \(hook)"])
        try await lab.check("nft", ["add rule bridge \(table) requests udp dport 69 drop"])
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await body()) } catch { outcome = .failure(error) }
        try await lab.check("nft", ["delete", "table", "bridge", table])
        try outcome.get()
    }

    /// The names of the results that could not be delivered yet.
    func keptResults() throws -> [String] {
        try FileTree.names(in: root.appending("state/bbot/spool")).filter { $0.hasSuffix(".result") }
    }

    /// How often agents have started a machine again of which nothing was heard.
    func restarts() throws -> Int {
        try agentLog().count { $0.contains("it is started again") }
    }

    /// What an agent says of itself.
    func agentStatus(_ instance: Int = 1) throws -> AgentStatus {
        try #require(AgentStatus.all(in: status.removingLastComponent()).first { $0.instance == instance })
    }

    /// Everything that a build may leave if it goes wrong; empty if it leaves nothing.
    func leftovers() async throws -> [String] {
        let links = try await lab.check("ip", ["-brief", "link", "show", "type", "tun"])
        let rules = try await lab.check("nft", ["list", "tables"])
        let processes = try await lab.transport.run(
            Command("pgrep", ["--full", "--list-full", "guest=default-[12]|-name default-[12]"]),
            input: .none,
            output: .collected(limit: 1 << 16),
            error: .discarded,
            timeLimit: .seconds(20)
        )
        let snapshots = try FileTree.names(in: volume).flatMap { name in
            try FileTree.names(in: volume.appending(name)).filter { $0.contains("-1_") || $0.contains("-2_") }
        }
        return snapshots + [links, rules, processes.outputText].filter { !$0.isEmpty }
    }
}
