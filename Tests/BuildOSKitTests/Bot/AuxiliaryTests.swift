import Glibc
import TestSupport
import Testing

@testable import BuildOSKit

@Suite("BOT-2: auxiliary machines") struct AuxiliaryTests {
    private static func header(_ name: String, _ minimum: Int? = nil, _ maximum: Int? = nil) -> MachineHeader {
        var header = MachineHeader(id: name, name: name, summary: name, role: .auxiliary)
        header.minimumRAM = minimum.map { MemorySize(kibibytes: $0 << 10) }
        header.maximumRAM = maximum.map { MemorySize(kibibytes: $0 << 10) }
        return header
    }

    private static func shares(_ total: Int, _ headers: [MachineHeader]) throws -> [Int] {
        try AuxiliaryMemory.shares(of: MemorySize(kibibytes: total << 10), among: headers).map(\.mebibytes)
    }

    @Test("RES-2: their RAM is shared out evenly, none below its minimum or above its maximum")
    func memory() throws {
        #expect(try Self.shares(4096, [Self.header("a")]) == [4096])
        #expect(try Self.shares(4096, [Self.header("a"), Self.header("b")]) == [2048, 2048])
        #expect(try Self.shares(4096, [Self.header("a", 3000), Self.header("b")]) == [3484, 612])
        #expect(try Self.shares(4096, [Self.header("a", nil, 512), Self.header("b")]) == [512, 3584])
        #expect(try Self.shares(4096, [Self.header("a", nil, 512), Self.header("b", nil, 1024)]) == [512, 1024])
        #expect(try Self.shares(1000, (1...3).map { Self.header("\($0)") }) == [333, 333, 333])
        #expect(try Self.shares(1000, []) == [])
    }

    @Test("RES-4: a machine that there isn't the RAM for is refused by its name")
    func tooLarge() {
        for (total, headers) in [
            (0, [Self.header("b")]), (1024, [Self.header("a", 1000), Self.header("b", 25)]),
            (200, [Self.header("a"), Self.header("b")]),
        ] {
            #expect(throws: MachineTooLarge.self) { try Self.shares(total, headers) }
            do { _ = try Self.shares(total, headers) } catch { #expect("\(error)".contains("machine 'b'"), "\(error)") }
        }
    }

    @Test("BOT-2: what a machine says of itself gets the names of its key")
    func environment() throws {
        let text = "# about me\n\nADDRESS=10.0.0.7\r\n  \nTEXT='a b'\nEMPTY=\nEQUALS=a=b\nNONE=\"\"\n"
        #expect(
            try AuxiliaryEnvironment.lines(text, key: "pg-sql", source: "x")
                == ["ADDRESS=10.0.0.7", "TEXT='a b'", "EMPTY=", "EQUALS=a=b", "NONE=\"\""].map { "PG_SQL_" + $0 }
        )
        #expect(try AuxiliaryEnvironment.lines("A=1", key: "", source: "x") == ["A=1"])
        #expect(AuxiliaryEnvironment.prefix("a.b+c9") == "A_B_C9_")
    }

    @Test(
        "BOT-3: what is no environment is refused, with its line",
        arguments: [
            "A", "=x", "a=1", "A B=1", " A=1", "9A=1", "Ä=1", "A='x", "A=\"x'", "A='x'y", "A='x'y'", "A='",
            "A=\u{1b}[2J",
            "A=\u{202e}",
        ]
    )
    func badEnvironment(line: String) {
        #expect(throws: ManifestError.self) {
            try AuxiliaryEnvironment.lines("OK=1\n\(line)\n", key: "", source: "x")
        }
        do { _ = try AuxiliaryEnvironment.lines("OK=1\n\(line)\n", key: "", source: "x") } catch {
            #expect("\(error)".contains("line 2"), "\(error)")
        }
    }

    @Test("BOT-1: an auxiliary machine isn't bootstrapped again for another toolchain, which isn't in it")
    func catalog() async throws {
        try await withTemporaryDirectory { directory in
            let machine = directory.appending("m/x86_64-site")
            let manifest = MachineManifest(Self.header("x86_64-site"))
            for name in ["x86_64-site-1.0", "x86_64-site-default"] {
                try FileTree.makeDirectory(machine.appending(name))
            }
            try FileTree.write(
                try ManifestSerializer.serialize([manifest.manifest]),
                to: machine.appending("x86_64-site-1.0").appending(MachineManifest.fileName)
            )
            let made = BootstrappedManifest(
                machine: manifest,
                toolchainID: "t1",
                bootstrap: BootstrapManifest(versions: [:])
            )
            try made.write(to: machine.appending("x86_64-site-default"))
            #expect(symlink("x86_64-site-1.0", machine.appending("x86_64-site-1").string) == 0)
            let content = MachineCatalog(
                layout: MachineLayout(root: directory),
                toolchain: .default,
                toolchainID: "t2"
            ).content()
            #expect(content.problems == [] && content.machines.map(\.readiness) == [.ready(made)])
        }
    }

    @Test("BOT-4: an instance is asked to end one task, and no later one")
    func interruptRequests() async throws {
        try await withTemporaryDirectory { directory in
            let number = try #require(GuestNumber(.default, number: 1, instance: 2))
            var other = AgentStatus(toolchain: "default", instance: 2, processId: 7, since: Timestamp(seconds: 0))
            other.task = AgentStatus.Task(name: "a", version: "1", controller: "2000=http://x/", number: 3)
            #expect(other.task?.priority?.level == 2000)
            #expect(InterruptRequest.current(for: number, in: directory) == nil)
            let request = InterruptRequest(processId: 7, task: 3)
            try request.write(to: other, in: directory)
            #expect(InterruptRequest.current(for: number, in: directory) == request)
            #expect(AgentStatus.all(in: directory).isEmpty)
            InterruptRequest.remove(for: number, in: directory)
            #expect(InterruptRequest.current(for: number, in: directory) == nil)
        }
    }
}
