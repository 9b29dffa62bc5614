import ArgumentParser
import Testing

@testable import BuildOSCommands
@testable import BuildOSKit

@Suite("Commands about machines") struct MachineCommandTests {
    @Test(
        "MACH-8: the manual's helpers are commands, and programs of those names",
        arguments: ["upload-machine", "remove-machine", "login-machine"]
    )
    func helpers(name: String) throws {
        #expect(BuildOSControl.arguments(["x", "--host", "h"], calledAs: name) == [name, "x", "--host", "h"])
        #expect(BuildOSControl.arguments(["machine"], calledAs: "buildosctl") == ["machine"])
        let subject = name == "login-machine" ? "default-1" : "linux-gcc_6"
        let command = try BuildOSControl.parseAsRoot([name, subject, "--host", "build@host"])
        #expect(type(of: command)._commandName == name)
    }

    @Test(
        "MACH-9: rates are bytes a second",
        arguments: [("20M", 20_000_000), ("1500", 1500), ("3k", 3000), ("1G", 1_000_000_000)] as [(String, Int64)]
    )
    func rates(text: String, expected: Int64) { #expect(ByteRate(argument: text)?.bytesPerSecond == expected) }

    @Test("MACH-9: what is no rate is refused", arguments: ["", "0", "-5M", "M", "1.5M", "99999999999G", "10", "5X"])
    func notRates(text: String) { #expect(ByteRate(argument: text) == nil) }

    @Test(
        "MACH-9: numbers out of their range are refused with it",
        arguments: [
            ("add x --keep 0", "--keep 0: expected 1 to 1000"),
            ("add x --time-limit 0", "--time-limit 0: expected 1 to 864000 seconds"),
            ("add x --connect-timeout 0", "--connect-timeout 0: expected 1 to 3600 seconds"),
            ("remove x --time-limit=-1", "--time-limit -1: expected 0 to 864000 seconds"),
            ("prune x --keep 0", "--keep 0: expected 1 to 1000"),
            ("receive --spool-limit=-1", "--spool-limit -1: expected 0 to 1048576 MiB"),
        ]
    )
    func ranges(line: String, message: String) {
        do {
            _ = try BuildOSControl.parseAsRoot(["machine"] + line.split(separator: " ").map(String.init))
            Issue.record("accepted: \(line)")
        } catch {
            #expect(BuildOSControl.message(for: error).contains(message))
        }
    }

    @Test("MACH-9: hosts come from options and from a file, each once")
    func hosts() throws {
        let file = FilePath("/tmp/buildos-hosts-\(UInt64.random(in: .min ... .max))")
        try FileTree.write("# ours\n\nbuild@b:2222\n  a  # again\n", to: file)
        defer { try? FileTree.remove(file) }
        let options = try HostOptions.parse(["--host", "a", "--host", "a", "--hosts", file.string, "--identity", "/k"])
        let hosts = try options.remoteHosts()
        #expect(hosts.map(\.description) == ["a", "build@b:2222"])
        #expect(hosts.allSatisfy { $0.identityFiles == ["/k"] && $0.connectTimeout == .seconds(30) })
        try FileTree.write("# none\n", to: file)
        #expect(throws: MachineError.self) { try HostOptions.parse(["--hosts", file.string]).remoteHosts() }
        #expect(throws: (any Error).self) { try HostOptions.parse(["--host", "-oProxyCommand=x"]).remoteHosts() }
    }

    @Test("a listing says what is in effect, what else there is, and what is broken")
    func listing() throws {
        var contents = MachineContents(volume: .default, machine: try MachineName("m"), exists: true)
        for revision in 0...1 {
            contents.revisions.append(
                .init(
                    revision: MachineRevision(version: 1, revision: revision),
                    isReadOnly: true,
                    uuid: nil,
                    identity: nil
                )
            )
        }
        contents.links = [.init(version: 1, target: "m-1.1"), .init(version: 2, target: "m-2.0")]
        contents.temporary = [.init(name: "m-default-x", toolchain: .default, parentUUID: nil)]
        let details = MachineTable.details(contents)
        #expect(details.contains("m-1.1  in effect"))
        #expect(details.contains("m-2 leads nowhere: m-2.0"))
        #expect(details.contains("m-default-x  a guest of toolchain default"))
    }
}
