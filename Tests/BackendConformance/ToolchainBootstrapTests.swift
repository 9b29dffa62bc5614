import BuildOSConformance
import BuildOSKit
import Glibc
import LocalTransport
import Synchronization
import TestSupport
import Testing

@Suite("Toolchain bootstrap, with the demonstration toolchain") struct ToolchainBootstrapTests {
    private func options(limit: Duration = .seconds(120)) -> BootstrapOptions {
        BootstrapOptions(timeLimit: limit, networkTimeout: .seconds(20), jobs: 1)
    }

    /// Fails unless a bootstrap fails as expected, and leaves nothing but its log.
    private func expectFailure(
        _ lab: ToolchainLab,
        _ toolchain: PublishedToolchain,
        limit: Duration = .seconds(120),
        mayRetry: Bool = true,
        words: String,
        sourceLocation: SourceLocation = #_sourceLocation,
        _ matches: (ToolchainBootstrapError.Kind) -> Bool = { _ in true }
    ) async throws {
        do throws(ToolchainBootstrapError) {
            let bootstrap = ToolchainBootstrap(transport: lab.transport, layout: lab.layout)
            let result = try await bootstrap.run(toolchain, options: options(limit: limit))
            Issue.record("it went well: \(result)", sourceLocation: sourceLocation)
        } catch {
            #expect(matches(error.kind), "\(error)", sourceLocation: sourceLocation)
            #expect(error.mayRetry == mayRetry, "\(error)", sourceLocation: sourceLocation)
            #expect(error.description.contains(words), "\(error)", sourceLocation: sourceLocation)
        }
        #expect(!FileTree.exists(lab.layout.prefix(.default)), sourceLocation: sourceLocation)
        #expect(!FileTree.exists(lab.layout.work(.default)), sourceLocation: sourceLocation)
        #expect(FileTree.exists(lab.layout.log(.default)), sourceLocation: sourceLocation)
    }

    @Test("TOOL-5: the toolchain and its bot package are built, with the trust passed on; once in a boot")
    func bootstraps() async throws {
        try await ToolchainLab.run { lab in
            try await lab.make("0.18.0-a.1")
            let toolchain = try await lab.sync().0
            let steps = Mutex<[BootstrapStep]>([])
            let bootstrap = ToolchainBootstrap(transport: lab.transport, layout: lab.layout)
            let result = try await bootstrap.run(toolchain, options: options()) { step in
                steps.withLock { $0.append(step) }
            }
            #expect(steps.withLock { $0 } == BootstrapStep.allCases)
            #expect(!result.wasThere && result.version == toolchain.version && result.id == toolchain.id)
            #expect(result.prefix == lab.build.appending("toolchains/default"))
            #expect(result.agentVersion.contains("0.18.0-a.1"), "\(result.agentVersion)")
            let agent = try await lab.transport.check(Command(result.agent.string, ["--version"]))
            #expect(agent.outputText.hasPrefix(result.agentVersion))
            #expect(!FileTree.exists(lab.layout.work(.default)))
            let log = try FileTree.readText(lab.layout.log(.default))
            #expect(log.contains("build.sh --install-dir \(result.prefix) --trust \(ToolchainLab.trust) --timeout 20"))
            #expect(log.contains("Toolchain installation: \(result.prefix)/bin"), "what build.sh prints is logged")

            let again = try await bootstrap.run(toolchain, options: options())
            #expect(again.wasThere && again.agentVersion == result.agentVersion)

            try FileTree.remove(result.agent)
            #expect(try await !bootstrap.run(toolchain, options: options()).wasThere, "a broken prefix is built anew")
        }
    }

    @Test("TOOL-5: another toolchain under the same name replaces the first") func replaces() async throws {
        try await ToolchainLab.run { lab in
            let bootstrap = ToolchainBootstrap(transport: lab.transport, layout: lab.layout)
            for version in ["0.18.0", "0.19.0-a.0.20260601123456.abcdef123456"] {
                try await lab.make(version)
                let result = try await bootstrap.run(lab.sync().0, options: options())
                #expect(!result.wasThere && result.agentVersion.contains(version), "\(result)")
            }
        }
    }

    @Test("TOOL-5: a fingerprint that isn't the repository's ends the bootstrap") func wrongTrust() async throws {
        try await ToolchainLab.run { lab in
            try await lab.make("0.18.0")
            let (toolchain, _) = try await lab.sync(lab.source(trust: .no))
            try await expectFailure(lab, toolchain, words: "exit status 1: ") {
                if case .step(.build, let error) = $0 { error.detail.contains("fingerprint") } else { false }
            }
        }
    }

    @Test(
        "TOOL-5: a build.sh that fails, early or half-way, leaves its log and nothing else",
        arguments: ["fail", "partial"]
    )
    func failing(behaviour: String) async throws {
        try await ToolchainLab.run { lab in
            try await lab.make("0.18.0", ["--behaviour", behaviour])
            try await expectFailure(lab, lab.sync().0, words: "(made to fail)") {
                if case .step(.build, _) = $0 { true } else { false }
            }
            #expect(try FileTree.readText(lab.layout.log(.default)).contains("(made to fail)"))
            try await lab.make("0.18.0")
            let bootstrap = ToolchainBootstrap(transport: lab.transport, layout: lab.layout)
            #expect(try await !bootstrap.run(lab.sync().0, options: options()).wasThere)
            #expect(try FileTree.readText(FilePath("\(lab.layout.log(.default)).1")).contains("(made to fail)"))
        }
    }

    @Test("TOOL-5: a repository without the bot package is told as that") func noBot() async throws {
        try await ToolchainLab.run { lab in
            try await lab.make("0.18.0", ["--behaviour", "no-bbot"])
            try await expectFailure(lab, lab.sync().0, words: "can't build the bot package: exit status 1: ")
        }
    }

    @Test("TOOL-5: a hanging build.sh is ended at the time limit, with its children") func hanging() async throws {
        try await ToolchainLab.run { lab in
            try await lab.make("0.18.0", ["--behaviour", "hang"])
            let toolchain = try await lab.sync().0
            try await expectFailure(lab, toolchain, limit: .seconds(120), words: "with all it had started") {
                $0 == .timedOut(.build, .seconds(120))
            }
            let left = try await lab.transport.run(
                Command("pgrep", ["--full", lab.layout.work(.default).string]),
                input: .none,
                output: .collected(limit: 4096),
                error: .discarded,
                timeLimit: .seconds(20)
            )
            #expect(left.output.isEmpty, "children are left: \(left.outputText)")
        }
    }

    @Test("TOOL-5: a cancelled bootstrap is ended and leaves nothing") func cancelled() async throws {
        try await ToolchainLab.run { lab in
            try await lab.make("0.18.0", ["--behaviour", "hang"])
            let toolchain = try await lab.sync().0
            let (building, isBuilding) = AsyncStream<Void>.makeStream()
            let task = Task {
                let bootstrap = ToolchainBootstrap(transport: lab.transport, layout: lab.layout)
                return try await bootstrap.run(toolchain, options: options()) { step in
                    if step == .build { isBuilding.finish() }
                }
            }
            for await _ in building {}
            task.cancel()
            switch await task.result {
            case .success: Issue.record("it went well")
            case .failure(let error): #expect((error as? ToolchainBootstrapError)?.kind == .cancelled, "\(error)")
            }
            #expect(!FileTree.exists(lab.layout.work(.default)))
            #expect(!FileTree.exists(lab.layout.prefix(.default)))
        }
    }

    @Test(
        "Bad input: archives with absolute paths, links out of their directory, or no build.sh are refused",
        arguments: [
            ("absolute", ["--absolute-names", "/etc/hostname"], "'/etc/hostname' is absolute"),
            ("dots", ["--absolute-names", "top/../../site/secret"], "leads out of its directory"),
            ("symlink", ["top/link"], "'top/link' leads out of its directory, to '/etc'"),
            ("fifo", ["top/fifo"], "'top/fifo' is neither a file nor a directory nor a link"),
            ("tops", ["top/file", "secret"], "more than one top directory"),
            ("plain", ["top/file"], "no executable build.sh"),
        ]
    )
    func badArchive(name: String, members: [String], words: String) async throws {
        try await ToolchainLab.run { lab in
            let archive = "build2-toolchain-0.18.0.tar.gz"
            try FileTree.makeDirectory(lab.site.appending("top"))
            for file in ["secret", "top/file"] { try FileTree.write(file, to: lab.site.appending(file)) }
            try await lab.transport.check(Command("ln", ["-s", "/etc", lab.site.appending("top/link").string]))
            try await lab.transport.check(Command("mkfifo", [lab.site.appending("top/fifo").string]))
            let tar = ["--create", "--gzip", "--file", archive] + members
            try await lab.transport.check(Command("tar", tar, workingDirectory: lab.site))
            try await publishSum(of: archive, lab)
            try await expectFailure(lab, lab.sync().0, mayRetry: false, words: words)
        }
    }

    @Test("Bad input: an archive that is none is refused") func notAnArchive() async throws {
        try await ToolchainLab.run { lab in
            let archive = "build2-toolchain-0.18.0.tar.xz"
            try FileTree.write("not an archive", to: lab.site.appending(archive))
            try await publishSum(of: archive, lab)
            try await expectFailure(lab, lab.sync().0, words: "can't read the archive: exit status 2")
        }
    }

    @Test("Bad input: a bootstrap on a full /build is told, and leaves room again") func fullDisk() async throws {
        guard Requirements.isMet(geteuid() == 0, "mounting a small file system needs root") else { return }
        try await withVolume("tmpfs", mebibytes: 2, by: LocalTransport()) { volume in
            try await ToolchainLab.run(build: volume.appending("build")) { lab in
                let archive = "build2-toolchain-0.18.0.tar.xz"
                try FileTree.makeDirectory(lab.site.appending("top"))
                try FileTree.write([UInt8](repeating: 0, count: 4 << 20), to: lab.site.appending("top/big"))
                let tar = ["--create", "--xz", "--file", archive, "top"]
                try await lab.transport.check(Command("tar", tar, workingDirectory: lab.site))
                try await publishSum(of: archive, lab)
                try await expectFailure(lab, lab.sync().0, words: "the file system is full") {
                    if case .noSpace(.unpack, _) = $0 { true } else { false }
                }
            }
        }
    }

    @Test("TOOL-6: two toolchains are bootstrapped side by side, and what is no longer wanted goes")
    func sideBySide() async throws {
        try await ToolchainLab.run { lab in
            try await lab.make("0.18.0")
            try await lab.make("0.19.0", ["--name", "next.sha256"])
            let next = try ToolchainSource(
                name: ToolchainName("next"),
                url: lab.server.url("/files/next.sha256"),
                trust: ToolchainTrust(ToolchainLab.trust)
            )
            let toolchains = [try await lab.sync().0, try await lab.sync(next).0]
            let bootstrap = ToolchainBootstrap(transport: lab.transport, layout: lab.layout)
            try await withThrowingTaskGroup(of: BootstrappedToolchain.self) { group in
                for toolchain in toolchains {
                    group.addTask { try await bootstrap.run(toolchain, options: options()) }
                }
                for try await result in group {
                    let version = result.name == .default ? "0.18.0" : "0.19.0"
                    #expect(result.agentVersion.contains(version))
                }
            }
            try FileTree.makeDirectory(lab.layout.work(.default))
            try await bootstrap.cleanUp(keeping: [next.name])
            #expect(try FileTree.names(in: lab.layout.toolchains) == ["next"])
        }
    }

    private func publishSum(of archive: String, _ lab: ToolchainLab) async throws {
        let sum = try await lab.transport.check(
            Command("sha256sum", ["--binary", archive], workingDirectory: lab.site)
        )
        try FileTree.write(sum.output, to: lab.site.appending("toolchain.sha256"))
    }
}
