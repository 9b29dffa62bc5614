import BuildOSKit
import TestSupport
import Testing

@testable import BuildOSCommands

@Suite("BACK-4: doctor and matrix") struct DiagnosisTests {
    /// A fake: what real backends miss depends on the machine.
    private struct Backend: BackendProvider {
        let identity: BackendIdentity
        var capabilityListing: [Capability] = []
        var findings: [PreflightFinding] = []

        init(_ name: String, _ interface: BackendInterface) {
            identity = BackendIdentity(name: name, interface: interface, summary: "")
        }

        func preflight() async -> [PreflightFinding] { findings }
    }

    private let finding = PreflightFinding(problem: "no hypervisor", remedy: "install one")
    private var oneOfEach: [Backend] { BackendInterface.allCases.map { Backend("a", $0) } }

    @Test("a machine that lacks nothing is healthy")
    func healthy() async {
        let diagnosis = await Diagnosis(of: oneOfEach)
        #expect(diagnosis.verdict == .healthy)
        #expect(diagnosis.entries.map(\.kind) == [.backend, .backend, .backend, .backend, .backend])
        #expect(DoctorListing(diagnosis).text.hasSuffix("\nEverything is ready.\n"))
    }

    @Test("a backend that isn't ready limits it, and is shown with the remedy, as long as another one is")
    func limited() async {
        var lame = Backend("b", .virtualMachines)
        lame.findings = [finding]
        let diagnosis = await Diagnosis(of: oneOfEach + [lame])
        #expect(diagnosis.verdict == .limited)
        let text = DoctorListing(diagnosis).text
        #expect(text.contains("MISSES  backend b (virtual-machines)\n          problem  no hypervisor\n"))
        #expect(text.contains("          remedy   install one\n"))
        #expect(text.contains("ready   backend a (virtual-machines)\n"))
    }

    @Test("an interface without a backend that is ready ails")
    func ailing() async throws {
        var backends = oneOfEach
        backends[0].findings = [finding]
        let diagnosis = await Diagnosis(of: backends)
        #expect(diagnosis.verdict == .ailing)
        let entry = try #require(diagnosis.entries.first { $0.kind == .interface })
        #expect(entry.name == "fetcher")
        #expect(entry.findings.map(\.problem) == ["no backend of it is ready: a"])
        #expect(await Diagnosis(of: []).entries.map(\.name) == BackendInterface.allCases.map(\.rawValue))
    }

    @Test("a file that can't be loaded ails")
    func brokenModule() async throws {
        try await withTemporaryDirectory { directory in
            let file = directory.appending("libBroken.so")
            try FileTree.write("no library", to: file)
            let diagnosis = await Diagnosis(of: oneOfEach, problems: ModuleLoader.load(file).problems)
            #expect(diagnosis.verdict == .ailing)
            #expect(diagnosis.entries.first?.name == file.string)
            #expect(diagnosis.entries.first?.findings.map(\.problem) == ["it is not an ELF shared object"])
        }
    }

    @Test("a command's missing programs and files are told with what installs them")
    func commands() async throws {
        let needs = CommandNeeds(
            "buildosctl x",
            tools: [ImageTool("sh", package: "dash"), ImageTool("no-such-program", package: "nosuch")],
            installed: ["/", "/no/such/file"]
        )
        let diagnosis = await Diagnosis(of: oneOfEach, commands: [needs])
        #expect(diagnosis.verdict == .limited)
        #expect(
            diagnosis.entries.last?.findings == [
                PreflightFinding(problem: "/no/such/file is not there", remedy: "run 'make', or 'make install' again"),
                PreflightFinding(
                    problem: "programs no-such-program: not installed",
                    remedy: "apt-get install nosuch"
                ),
            ]
        )
    }

    @Test("a module is loaded by its name only, wherever it is")
    func moduleName() {
        for name in ["/bin/true", "libA-B.so", "libBuildOSKitShared.so", "lib.so", "Curl.so", ""] {
            #expect(ModuleLoader.load(FilePath(name)).problems.first?.cause == "its name is not that of a module")
        }
    }

    @Test("capabilities stand side by side, by interface and name, with what one has and another lacks")
    func matrix() {
        var first = Backend("b", .transport)
        first.capabilityListing = [Capability("remote", true), Capability("kinds", ["x|y", "z"])]
        var second = Backend("a", .transport)
        second.capabilityListing = [Capability("remote", false), Capability("extra", true)]
        var other = Backend("c", .fetcher)
        other.capabilityListing = [Capability("posts", false)]
        #expect(
            BackendMatrix.markdown(of: [first, second, other]) == """
                ### fetcher

                | capability | `c` |
                | --- | --- |
                | posts | no |

                ### transport

                | capability | `a` | `b` |
                | --- | --- | --- |
                | remote | no | yes |
                | extra | yes |  |
                | kinds |  | x\\|y z |

                """
        )
    }
}
