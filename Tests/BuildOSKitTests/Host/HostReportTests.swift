import BuildOSKit
import TestSupport
import Testing

@Suite struct HostReportTests {
    @Test("CONF-4: errors reach the console, the greeting and the monitor")
    func notice() throws {
        let parsed = HostConfiguration.parse(commandLine: "buildos.nice=20 buildos.bridge=br7")
        let lines = ErrorNotice.lines(parsed, resources: [])
        #expect(lines.count == 3)
        #expect(lines[0] == "error: buildos.nice=20: 20 is not from -20 to 19 (give a number from -20 to 19)")
        #expect(lines[2].hasPrefix("warning: buildos.nice, buildos.bridge: without buildos.toolchain_url"))
        let name = HostName(lease: nil, address: nil)
        let greeting = ErrorNotice.greeting(hostName: name, lines: lines).content
        #expect(greeting.contains("\n  error: buildos.nice=20: "))
        #expect(!ErrorNotice.greeting(hostName: name, lines: []).content.contains("isn't right"))
        let report = try #require(ErrorNotice.reports(parsed, resources: []).first)
        #expect(report.kind == .configuration && report.subject == "2 errors in the kernel command line")
    }

    @Test func reportsAreReadAsTheyWereLeft() async throws {
        try await withTemporaryDirectory { directory in
            let reports = (1...11).map { HostReport(.storage, subject: "\($0)", text: "a\nb \"ü\"") }
            try HostReport.write(reports, to: directory)
            try FileTree.write("{", to: directory.appending("99-setup.json"))
            try FileTree.write("x", to: directory.appending("README"))
            #expect(HostReport.read(from: directory) == reports)
        }
    }
}
