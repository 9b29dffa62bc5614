import BuildOSKit
import LocalTransport
import TestSupport
import Testing

@Suite("BACK-3: buildosctl conformance", .serialized) struct ConformanceCommandTests {
    /// `<Name>` of every staged module; that none is missing is tested in ``ModuleLoading``.
    private static let staged = ((try? FileTree.names(in: StagedTree.modules)) ?? []).sorted()

    @Test("every staged module passes", arguments: staged)
    func passes(module: String) async throws {
        let result = try await buildosctl(
            ["conformance", "--module", StagedTree.modules.appending(module).string, "--format", "json"]
                + (Requirements.areAllRequired ? ["--require-all"] : [])
        )
        #expect(result.status == .exited(0), "\(result.errorText)")
        let lines = result.errorText.split(separator: "\n")
        for line in lines where line.hasPrefix("    because") { print("skipped in \(module):\(line)") }
        #expect(lines.contains { $0.hasPrefix("  passed   ") }, "\(result.errorText)")
    }

    @Test("a module that can't be loaded, and a backend that isn't in it, are told; there is nothing to check")
    func nothingToCheck() async throws {
        try await withTemporaryDirectory { directory in
            let file = directory.appending("libBroken.so")
            try FileTree.write("no library", to: file)
            let broken = try await buildosctl(["conformance", "--module", file.string])
            #expect(broken.status == .exited(2))
            #expect(broken.errorText.contains("\(file): it is not an ELF shared object"))
        }
        let module = StagedTree.modules.appending("libTFTPStore.so")
        let other = try await buildosctl(["conformance", "--module", module.string, "--backend", "other"])
        #expect(other.status == .exited(2))
        #expect(other.errorText.contains("no such backend (it has tftp (artifact-store))"))
    }

    @Test("doctor shows a module that can't be loaded, with the remedy, and exits with 2")
    func doctor() async throws {
        try await withTemporaryDirectory { directory in
            try FileTree.write("no library", to: directory.appending("libBroken.so"))
            let result = try await buildosctl(["doctor", "--module-path", directory.string])
            #expect(result.status == .exited(2))
            #expect(result.outputText.contains("MISSES  module \(directory)/libBroken.so\n"))
            #expect(result.outputText.contains("problem  it is not an ELF shared object\n"))
            #expect(result.outputText.contains("remedy   reinstall it\n"))
            #expect(result.outputText.contains("ready   backend local (transport)\n"))
        }
    }

    private func buildosctl(_ arguments: [String]) async throws -> CommandResult {
        try await LocalTransport().run(
            Command(StagedTree.program("buildosctl").string, arguments),
            input: .none,
            output: .collected(limit: 4 << 20),
            error: .collected(limit: 4 << 20),
            timeLimit: .seconds(900)
        )
    }
}
