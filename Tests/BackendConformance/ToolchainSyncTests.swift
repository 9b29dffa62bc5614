import BuildOSConformance
import BuildOSKit
import Glibc
import LocalTransport
import TestSupport
import Testing

@Suite("Toolchain sync, with curl and the TFTP store") struct ToolchainSyncTests {
    @Test("TOOL-2, TOOL-8: the published tree is the manual's example exactly") func manualTree() async throws {
        try await ToolchainLab.run { lab in
            try await lab.make("0.4.0", ["--extra-files"])
            let (toolchain, change) = try await lab.sync()
            #expect(toolchain.directory == lab.published)
            #expect(
                try await Set(lab.tree(lab.published)) == [
                    "version", "trust",
                    "build2-toolchain-0.4.0.tar.xz", "build2-baseutils-0.4.0-x86_64-windows.zip",
                    "build2-mingw-0.4.0-x86_64-windows.tar.xz",
                    "build2-toolchain-tar.xz", "build2-baseutils-x86_64-windows.zip",
                    "build2-mingw-x86_64-windows.tar.xz",
                ]
            )
            for (link, target) in [
                ("build2-toolchain-tar.xz", "build2-toolchain-0.4.0.tar.xz"),
                ("build2-baseutils-x86_64-windows.zip", "build2-baseutils-0.4.0-x86_64-windows.zip"),
                ("build2-mingw-x86_64-windows.tar.xz", "build2-mingw-0.4.0-x86_64-windows.tar.xz"),
            ] {
                let read = try await lab.transport.check(
                    Command("readlink", [lab.published.appending(link).string])
                )
                #expect(read.outputText == "\(target)\n")
            }
            #expect(try FileTree.readText(lab.published.appending("version")) == "0.4.0\n")
            #expect(try FileTree.readText(lab.published.appending("trust")) == "\(ToolchainLab.trust)\n")
            #expect(toolchain.version.description == "0.4.0")
            #expect(change.fetched.count == 3 && change.kept.isEmpty && change.hasSwitched)
            let sum = try await lab.transport.check(Command("sha256sum", [toolchain.archive.string])).outputText
            #expect(sum.hasPrefix(toolchain.id.hexadecimal))
        }
    }

    @Test("TOOL-2: without a trusted fingerprint the trust file says no") func noTrust() async throws {
        try await ToolchainLab.run { lab in
            try await lab.make("0.4.0")
            _ = try await lab.sync(lab.source(trust: .no))
            #expect(try FileTree.readText(lab.published.appending("trust")) == "no\n")
        }
    }

    @Test("TOOL-3: an unchanged toolchain is verified and stays; a new one replaces the whole of it")
    func changes() async throws {
        try await ToolchainLab.run { lab in
            try await lab.make("0.4.0", ["--extra-files"])
            let first = try await lab.sync().0
            let requests = lab.server.requestCount
            let (same, change) = try await lab.sync()
            #expect(same == first)
            #expect(!change.hasSwitched && change.fetched.isEmpty && change.kept.count == 3)
            #expect(lab.server.requestCount == requests + 1, "only the checksums file is asked for")

            try await lab.make("0.5.0-a.0.20260601123456.abcdef123456")
            let (second, update) = try await lab.sync()
            #expect(second.id != first.id && second.checksums != first.checksums)
            #expect(update.hasSwitched && update.removed.count == 3)
            #expect(
                try await Set(lab.tree(lab.published)) == [
                    "version", "trust", "build2-toolchain-tar.xz",
                    "build2-toolchain-0.5.0-a.0.20260601123456.abcdef123456.tar.xz",
                ]
            )
            #expect(try FileTree.names(in: lab.build.appending("tftp/toolchains/.sets")).count == 1)
        }
    }

    @Test("TOOL-3: what was damaged on the disk is fetched anew, and a lost link is made again")
    func mends() async throws {
        try await ToolchainLab.run { lab in
            try await lab.make("0.4.0", ["--extra-files"])
            let first = try await lab.sync().0
            try FileTree.write("damaged", to: first.archive)
            let (second, change) = try await lab.sync()
            #expect(change.fetched == ["build2-toolchain-0.4.0.tar.xz"] && change.kept.count == 2)
            #expect(change.hasSwitched && second == first)
            try FileTree.remove(first.directory.appending("build2-toolchain-tar.xz"))
            #expect(try await lab.sync().1.hasSwitched)
            #expect(FileTree.exists(first.directory.appending("build2-toolchain-tar.xz")))
        }
    }

    @Test("TOOL-1: a disabled toolchain is reported and nothing is touched") func disabled() async throws {
        try await ToolchainLab.run { lab in
            try await lab.make("0.4.0")
            _ = try await lab.sync()
            try FileTree.write("disabled\n", to: lab.site.appending("toolchain.sha256"))
            let sync = ToolchainSync(fetcher: lab.fetcher, store: lab.store, scratch: lab.build)
            guard case .disabled = try await sync.run(lab.source()) else {
                Issue.record("it is not disabled")
                return
            }
            #expect(FileTree.exists(lab.published.appending("version")))
        }
    }

    @Test("BOOT-9: a change of the checksums file shows in its digest; what is no such file is no change")
    func checksumsDigest() async throws {
        try await ToolchainLab.run { lab in
            try await lab.make("0.4.0")
            let sync = ToolchainSync(fetcher: lab.fetcher, store: lab.store, scratch: lab.build)
            let published = try await lab.sync().0
            #expect(try await sync.checksums(of: lab.source())?.digest == published.checksums)
            try await lab.make("0.4.1")
            #expect(try await sync.checksums(of: lab.source())?.digest != published.checksums)
            try FileTree.write("<html>We'll be back soon</html>", to: lab.site.appending("toolchain.sha256"))
            await #expect(throws: ToolchainSyncError.self) { try await sync.checksums(of: lab.source()) }
        }
    }

    @Test("TOOL-3: a corrupted archive is refused, and the published set stays") func corrupted() async throws {
        try await ToolchainLab.run { lab in
            try await lab.make("0.4.0")
            let first = try await lab.sync().0
            try await lab.make("0.5.0", ["--extra-files"])
            let archive = lab.site.appending("0.5.0/build2-toolchain-0.5.0.tar.xz")
            try FileTree.write(FileTree.read(archive, limit: 1 << 24).dropLast() + [0], to: archive)
            try await lab.expectRefusal(
                lab.source(),
                mayRetry: true,
                words: "/files/0.5.0/build2-toolchain-0.5.0.tar.xz is not what the checksums file says"
            ) { if case .mismatch = $0 { true } else { false } }
            #expect(try FileTree.readText(first.directory.appending("version")) == "0.4.0\n")
            let sync = ToolchainSync(fetcher: lab.fetcher, store: lab.store, scratch: lab.build)
            let source = try lab.source()
            let seen = try await sync.checksums(of: source)?.digest
            do throws(ToolchainSyncError) {
                _ = try await sync.run(source)
                Issue.record("it went well")
            } catch {
                #expect(error.checksums == seen, "a refusal says which checksums file it is of")
            }
        }
    }

    @Test("Bad input: a missing file, an unreachable server, a redirect loop, a stalling server")
    func badServers() async throws {
        try await ToolchainLab.run { lab in
            try await lab.make("0.4.0", ["--extra-files"])
            _ = try await lab.sync()
            let limits = ToolchainSync.Limits(
                checksums: FetchLimits(totalTimeout: .seconds(2), lowSpeedTime: .seconds(1))
            )
            try await lab.expectRefusal(lab.source("/status/404/t.sha256"), mayRetry: true, words: "HTTP status 404")
            try await lab.expectRefusal(lab.source("/status/500/t.sha256"), mayRetry: true, words: "HTTP status 500")
            try await lab.expectRefusal(lab.source("/loop/t.sha256"), mayRetry: false, words: "more than 10 redirects")
            try await lab.expectRefusal(lab.source("/to-file/t.sha256"), mayRetry: false, words: "not allowed")
            try await lab.expectRefusal(lab.source("/stall/t.sha256"), limits: limits, mayRetry: true, words: "/stall")
            try await lab.expectRefusal(lab.source("/cut/t.sha256"), mayRetry: true, words: "/cut")
            let nobody = try ResourceURL("http://127.0.0.1:\(MisbehavingServer.unusedPort())/t.sha256")
            try await lab.expectRefusal(
                ToolchainSource(name: .default, url: nobody),
                mayRetry: true,
                words: "check that the server runs"
            )
            try FileTree.remove(lab.site.appending("0.4.0/build2-mingw-0.4.0-x86_64-windows.tar.xz"))
            try FileTree.remove(lab.published.appending("build2-mingw-0.4.0-x86_64-windows.tar.xz"))
            try await lab.expectRefusal(lab.source(), mayRetry: true, words: "build2-mingw-0.4.0")
        }
    }

    @Test("Bad input: a checksums file of 100 MB, told or not, is refused after 1 MiB") func hugeChecksums()
        async throws
    {
        try await ToolchainLab.run { lab in
            for kind in ["a", "unsized"] {
                try await lab.expectRefusal(
                    lab.source("/\(kind)/104857600/t.sha256"),
                    mayRetry: false,
                    words: "larger than the limit of 1048576 bytes"
                )
            }
        }
    }

    @Test("Bad input: a path ../../etc/passwd in the checksums file is refused with its line") func escapingPath()
        async throws
    {
        try await ToolchainLab.run { lab in
            let sum = String(repeating: "0", count: 64)
            try FileTree.write(
                "\(sum) *build2-toolchain-0.4.0.tar.xz\n\(sum) *../../etc/passwd\n",
                to: lab.site.appending("toolchain.sha256")
            )
            try await lab.expectRefusal(lab.source(), mayRetry: false, words: "line 2: path '../../etc/passwd'")
            #expect(lab.server.requestCount == 1)
        }
    }

    @Test("Bad input: a full /build is told, and what was published stays") func fullDisk() async throws {
        guard Requirements.isMet(geteuid() == 0, "mounting a small file system needs root") else { return }
        try await withVolume("tmpfs", mebibytes: 2, by: LocalTransport()) { volume in
            try await ToolchainLab.run(build: volume.appending("build")) { lab in
                try await lab.make("0.4.0")
                _ = try await lab.sync()
                let big = "0.4.0/build2-toolchain-0.4.0.tar.xz"
                try FileTree.write([UInt8](repeating: 7, count: 4 << 20), to: lab.site.appending(big))
                let sum = try await lab.transport.check(
                    Command("sha256sum", ["--binary", big], workingDirectory: lab.site)
                )
                try FileTree.write(sum.output, to: lab.site.appending("toolchain.sha256"))
                try await lab.expectRefusal(
                    lab.source(),
                    mayRetry: true,
                    words: "No space left on device"
                ) { if case .fetch(let error) = $0 { error.kind == .cannotWrite } else { false } }
                #expect(try FileTree.readText(lab.published.appending("version")) == "0.4.0\n")
            }
        }
    }

    @Test("Cancelling a sync ends its transfers and leaves nothing behind") func cancelled() async throws {
        try await ToolchainLab.run { lab in
            let source = try lab.source("/silent/t.sha256")
            let task = Task {
                try await ToolchainSync(fetcher: lab.fetcher, store: lab.store, scratch: lab.build).run(source)
            }
            while lab.server.requestCount == 0 { await Task.yield() }
            task.cancel()
            switch await task.result {
            case .success: Issue.record("it went well")
            case .failure(let error): #expect((error as? ToolchainSyncError)?.kind == .cancelled)
            }
            #expect(try FileTree.names(in: lab.build) == ["tftp"])
        }
    }
}
