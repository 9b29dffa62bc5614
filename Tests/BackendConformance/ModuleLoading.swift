import BuildOSKit
import LocalTransport
import TestSupport
import Testing

@Suite("BACK-2, BACK-4: loadable modules") struct ModuleLoading {
    @Test("every staged module loads and registers its backends")
    func staged() throws {
        let inventory = LoadedModules.inventory
        #expect(inventory.problems.isEmpty, "\(inventory.problems)")
        #expect(inventory.modules.map(\.name) == (try Self.expected()))
        #expect(Set(inventory.modules.flatMap(\.backends).map(\.interface)) == Set(BackendInterface.allCases))
    }

    /// What the Makefile stages.
    private static func expected() throws -> [String] {
        let makefile = try FileTree.readText(StagedTree.checkout.appending("Makefile"))
        let line = try #require(makefile.split(separator: "\n").first { $0.hasPrefix("MODULES := ") })
        return line.split(separator: " ").dropFirst(2).map(String.init).sorted()
    }

    @Test("an error thrown by a module is caught by its type, with its values")
    func typedErrorsCrossTheBorder() async throws {
        let transport = try LoadedModules.inventory.registry.transport(named: "local").makeTransport(to: .thisMachine)
        let command = Command("no-such-program-here", ["x"])
        do {
            try await transport.check(command)
            Issue.record("it ran")
        } catch let error as any DiagnosableError {
            let error = try #require(error as? TransportError)
            #expect(error == TransportError(.commandNotFound, command: command))
        }
    }

    @Test(
        "a truncated module is refused before the dynamic linker maps it",
        arguments: [0, 3, 63, 64, 500, 4096, 100_000]
    )
    func truncated(byteCount: Int) async throws {
        let whole = try FileTree.read(StagedTree.modules.appending("libLocalTransport.so"), limit: 1 << 28)
        try await withModules(["libLocalTransport.so": Array(whole.prefix(byteCount))]) { problems in
            let problem = try #require(problems.first)
            #expect(problem.cause.contains("truncated") || problem.cause.contains("not an ELF"), "\(problem)")
        }
    }

    @Test("a text file named .so is refused")
    func text() async throws {
        try await withModules(["libText.so": Array("#!/bin/sh\necho hello\n".utf8)]) { problems in
            #expect(problems.map(\.cause) == ["it is not an ELF shared object"])
        }
    }

    @Test("a program is not a module")
    func program() async throws {
        try await withModules(["libProgram.so": try FileTree.read("/bin/true", limit: 1 << 24)]) { problems in
            #expect(problems.count == 1)
        }
    }

    @Test("a shared object that exports no ABI is not a module")
    func foreignLibrary() async throws {
        try await withCompiled(["libForeign.so": "int answer(void) { return 42; }"]) { problems in
            #expect(problems.first?.cause.contains("it exports no buildos_module_abi_Foreign") == true)
        }
    }

    @Test("a module of another ABI is refused by name, with what was expected and what was found")
    func wrongABI() async throws {
        let source = """
            const char *buildos_module_abi_Old(void) { return "buildos-kit-0/swift-5.9"; }
            void buildos_module_register_Old(void *registrar) { *(volatile char *)0 = 1; }
            """
        try await withCompiled(["libOld.so": source]) { problems in
            let problem = try #require(problems.first)
            #expect(problem.file.lastComponent?.string == "libOld.so")
            #expect(problem.cause == "its ABI is 'buildos-kit-0/swift-5.9', this program's is '\(ModuleABI.current)'")
        }
    }

    @Test("a module whose library is not installed names the library")
    func missingDependency() async throws {
        try await withTemporaryDirectory { directory in
            let transport = LocalTransport()
            try FileTree.write("int absent(void) { return 1; }", to: directory.appending("absent.c"))
            try FileTree.write("int absent(void); int use(void) { return absent(); }", to: directory.appending("use.c"))
            for arguments in [
                ["-shared", "-fPIC", "-Wl,-soname,libbuildos-absent.so.1", "-o", "libabsent-build.so", "absent.c"],
                ["-shared", "-fPIC", "-o", "libNeedy.so", "use.c", "./libabsent-build.so"],
            ] {
                try await transport.check(Command("gcc", arguments, workingDirectory: directory))
            }
            try FileTree.remove(directory.appending("libabsent-build.so"))
            let problem = try #require(load(from: [directory]).problems.first)
            #expect(problem.cause == "it needs libbuildos-absent.so.1, which is not on this machine")
        }
    }

    @Test("two modules of one name are both refused, the others load; the same file found twice is one")
    func twoOfOneName() async throws {
        try await withTemporaryDirectory { first in
            let module = try FileTree.read(StagedTree.modules.appending("libLocalTransport.so"), limit: 1 << 28)
            try FileTree.write(module, to: first.appending("libLocalTransport.so"))
            let inventory = load(from: [first, StagedTree.modules, StagedTree.modules.appending("../modules")])
            #expect(inventory.problems.count == 2)
            #expect(inventory.problems.allSatisfy { $0.cause.hasPrefix("there are several modules of this name") })
            #expect(inventory.modules.map(\.name) == (try Self.expected().filter { $0 != "LocalTransport" }))
        }
    }

    @Test("a directory the operator named must exist; a default one need not")
    func missingDirectory() {
        let inventory = load(from: ["/nonexistent/modules"])
        #expect(inventory.problems.map(\.cause) == ["no such directory"])
        let silent = ModuleLoader.loadAll(
            ModuleSearchPath(commandLine: [], environment: nil, executable: "/nonexistent/bin/x")
        )
        #expect(silent.problems.isEmpty && silent.modules.isEmpty)
    }

    @Test("buildosctl backends shows what is wrong with a module and exits with 1")
    func shownToTheOperator() async throws {
        try await withTemporaryDirectory { directory in
            try FileTree.write("not a library", to: directory.appending("libBroken.so"))
            let result = try await LocalTransport().run(
                Command(StagedTree.program("buildosctl").string, ["backends", "--module-path", directory.string]),
                input: .none,
                output: .collected(limit: 1 << 20),
                error: .collected(limit: 1 << 20),
                timeLimit: .seconds(60)
            )
            #expect(result.status == .exited(1))
            #expect(result.outputText.contains("not loaded: \(directory)/libBroken.so"))
            #expect(result.outputText.contains("local (transport)"))
        }
    }

    private func load(from directories: [FilePath]) -> ModuleInventory {
        ModuleLoader.loadAll(
            ModuleSearchPath(
                commandLine: directories.map(\.string),
                environment: nil,
                executable: "/nonexistent/bin/test-runner"
            )
        )
    }

    /// Puts the files in a directory, loads it, expects no module, and passes on the problems.
    private func withModules(_ files: [String: [UInt8]], _ body: ([ModuleProblem]) throws -> Void) async throws {
        try await withTemporaryDirectory { directory in
            for (name, bytes) in files { try FileTree.write(bytes, to: directory.appending(name)) }
            let inventory = load(from: [directory])
            #expect(inventory.modules.isEmpty)
            try body(inventory.problems)
        }
    }

    /// The same with C sources that the machine's compiler makes shared objects of.
    private func withCompiled(_ sources: [String: String], _ body: ([ModuleProblem]) throws -> Void) async throws {
        try await withTemporaryDirectory { directory in
            for (name, source) in sources {
                try await LocalTransport().check(
                    Command("gcc", ["-shared", "-fPIC", "-x", "c", "-o", directory.appending(name).string, "-"]),
                    input: .bytes(Array(source.utf8))
                )
            }
            let inventory = load(from: [directory])
            #expect(inventory.modules.isEmpty)
            try body(inventory.problems)
        }
    }
}
