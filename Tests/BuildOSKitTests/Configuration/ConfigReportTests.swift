import BuildOSKit
import TestSupport
import Testing

@testable import BuildOSCommands

@Suite struct ConfigReportTests {
    private func report(_ line: String, cpus: Int = 8, ram: Int = 64) -> ConfigReport {
        ConfigReport(
            HostConfiguration.parse(commandLine: line),
            machine: MachineResources(cpus: cpus, ram: MemorySize(gibibytes: ram))
        )
    }

    @Test("CONF-5: overcommit and instances alone show 4 CPUs a slice")
    func slices() {
        let report = report("buildos.cpu_overcommit=3/2 buildos.instances=3")
        #expect(report.slices?.cpus == 4)
        #expect(!report.isWrong)
        #expect(report.text.contains("\n  4 CPUs = (8 CPUs - 0 reserved) * 3/2 / 3\n"))
        #expect(report.warnings.contains("the slices are shown as if buildos.toolchain_url were given"))
    }

    @Test("CONF-5: every value is shown with its origin")
    func origins() throws {
        let report = report("quiet buildos.ram_reserved=0.5 buildos.toolchain_url.q=http://h/t.sha256 buildos.nice.q=7")
        let reserved = try #require(report.values.first { $0.parameter == "buildos.ram_reserved" })
        #expect(reserved.value == "0.5" && reserved.origin == "command-line" && reserved.column == 7)
        let affinity = try #require(report.values.first { $0.parameter == "buildos.cpu_affinity" })
        #expect(affinity.value == nil && affinity.meaning == "all CPUs" && affinity.origin == "default")
        let nice = try #require(report.toolchains.first?.values.first { $0.parameter == "buildos.nice.q" })
        #expect(nice.value == "7" && nice.origin == "command-line")
        let shown = Set((report.values + report.toolchains.flatMap(\.values)).map(\.parameter))
        #expect(shown == Set(Parameter.allCases.map { $0.name(for: try? ToolchainName("q")) }))
    }

    @Test("CONF-5: errors of the line and of the slices are shown together, and make it fail")
    func errors() {
        let report = report("buildos.toolchain_url=http://h/t.sha256 buildos.nice=20 buildos.instances=9")
        #expect(report.errors.map(\.subject) == ["buildos.nice=20", "CPUs"])
        #expect(report.isWrong)
        #expect(report.text.contains("2 errors:\n  buildos.nice=20 (byte 41)\n    20 is not from -20 to 19\n"))
    }
}
