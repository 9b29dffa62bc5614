import BuildOSKit
import Testing

@Suite("Machine names and entries") struct MachineNameTests {
    private let machine: MachineName
    init() throws { machine = try MachineName("linux-gcc_6") }

    @Test(
        "MACH-1: names that machines have",
        arguments: ["linux-gcc_6", "windows-msvc_14", "x86_64-linux_debian_12-gcc_13.1", "a", "7zip", "c++"]
    )
    func accepted(name: String) throws { #expect(try MachineName(name).text == name) }

    @Test(
        "MACH-1: names that could leave the directory, hide, or pass for an option are refused",
        arguments: [
            "", ".", "..", ".hidden", "-rf", "a/b", "/etc", "a b", "a\n", "a\u{0}", "ä", "_a", "a*", "a;b", "$(id)",
            String(repeating: "a", count: 129),
        ]
    )
    func refused(name: String) { #expect(throws: InvalidValue.self) { try MachineName(name) } }

    @Test("MACH-1: the four patterns of the manual")
    func patterns() throws {
        let toolchain = try ToolchainName("default")
        #expect(MachineEntry("linux-gcc_6-1.0", of: machine) == .initial(MachineRevision(version: 1, revision: 0)))
        #expect(MachineEntry("linux-gcc_6-1", of: machine) == .current(version: 1))
        #expect(MachineEntry("linux-gcc_6-default", of: machine) == .bootstrapped(toolchain))
        #expect(MachineEntry("linux-gcc_6-default-x7Q", of: machine) == .temporary(toolchain, suffix: "x7Q"))
    }

    @Test("MACH-1: an entry's name leads back to it", arguments: ["1.0", "12.345", "1", "default", "t_2-ab.c"])
    func roundTrip(rest: String) throws {
        let entry = try #require(MachineEntry("linux-gcc_6-\(rest)", of: machine))
        #expect(entry.fileName(of: machine) == "linux-gcc_6-\(rest)")
    }

    @Test(
        "MACH-6: whatever follows no pattern is nobody's business",
        arguments: [
            "linux-gcc_6", "linux-gcc_6-", "linux-gcc_6--", "linux-gcc_6-default-", "linux-gcc_6-default-a-b",
            "new-linux-gcc_6-1", "linux-gcc_66-1.0", "linux-gcc_6-01.0", "linux-gcc_6-1.00", "linux-gcc_6-1.2.3",
            "linux-gcc_6-1.", "linux-gcc_6-.1", "linux-gcc_6-default.lock", "linux-gcc_6-1-x", ".linux-gcc_6-1.0",
            "linux-gcc_6-9999999999.0", "linux-gcc_6-de/ault", "linux-gcc_6-défaut", "linux-gcc_6-default-a b",
            "backup",
        ]
    )
    func strangers(name: String) { #expect(MachineEntry(name, of: machine) == nil) }
}
