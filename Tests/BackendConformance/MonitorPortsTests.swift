import BtrfsStorage
import BuildOSConformance
import BuildOSKit
import CurlFetcher
import Glibc
import LocalTransport
import TFTPStore
import TestSupport
import Testing

@Suite("Monitor's ports, with curl, the TFTP store and btrfs") struct MonitorPortsTests {
    private func changes(_ lab: ToolchainLab) -> FetchedChanges {
        FetchedChanges(
            fetcher: lab.fetcher,
            store: lab.store,
            scratch: lab.build,
            kexecDirectory: lab.build.appending("kexec")
        )
    }

    private func toolchain(_ lab: ToolchainLab, _ path: String = "/files/toolchain.sha256") throws -> Toolchain {
        Toolchain(url: try lab.server.url(path), trust: try ToolchainTrust(ToolchainLab.trust))
    }

    private func toolchains(_ lab: ToolchainLab) throws -> HostToolchains {
        HostToolchains(
            fetcher: lab.fetcher,
            store: lab.store,
            trialStore: try TFTPStore(root: lab.build.appending(".updates")),
            builder: ToolchainBootstrap(transport: lab.transport, layout: lab.layout),
            options: BootstrapOptions(),
            scratch: lab.build,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    @Test("BOOT-8: the build id is the first line of the file")
    func buildID() async throws {
        try await ToolchainLab.run { lab in
            try FileTree.write("20251123-0a1b2c3d\n", to: lab.site.appending("buildos-buildid"))
            let id = try await changes(lab).buildID(at: lab.server.url("/files/buildos-buildid"))
            #expect(id.description == "20251123-0a1b2c3d")
        }
    }

    @Test(
        "BOOT-8: no file, an empty one, a page, a huge one, a server that fails: none is a build id",
        arguments: [
            "/files/nothing", "/files/empty", "/files/page", "/files/huge", "/status/503", "/loop", "/cut/1",
            "/endless",
        ]
    )
    func noBuildID(path: String) async throws {
        try await ToolchainLab.run { lab in
            try FileTree.write("", to: lab.site.appending("empty"))
            try FileTree.write("<!DOCTYPE html><html>404</html>", to: lab.site.appending("page"))
            try FileTree.write(String(repeating: "a1", count: 10_000), to: lab.site.appending("huge"))
            await #expect(throws: (any Error).self) { try await changes(lab).buildID(at: lab.server.url(path)) }
            #expect(try FileTree.names(in: lab.build) == ["tftp"])
        }
    }

    @Test("BOOT-9: a checksums file is looked at without fetching what it lists; a change shows, no answer doesn't")
    func checksums() async throws {
        try await ToolchainLab.run { lab in
            let changes = changes(lab)
            try await lab.make("0.4.0")
            let first = try await changes.checksums(of: toolchain(lab))
            let requests = lab.server.requestCount
            #expect(try await changes.checksums(of: toolchain(lab)) == first)
            #expect(lab.server.requestCount == requests + 1)
            try FileTree.write("<html></html>", to: lab.site.appending("toolchain.sha256"))
            await #expect(throws: (any Error).self) { try await changes.checksums(of: toolchain(lab)) }
            try FileTree.write("disabled\n", to: lab.site.appending("toolchain.sha256"))
            #expect(try await changes.checksums(of: toolchain(lab)) != first)
        }
    }

    @Test("BOOT-12: kernel and initrd are fetched and verified; anything wrong leaves nothing to boot")
    func kernel() async throws {
        try await ToolchainLab.run { lab in
            let url = try lab.server.url("/files/buildos-buildid")
            let files = ImageFiles(in: lab.site)
            try FileTree.write("kernel", to: files.kernel)
            try FileTree.write("initrd", to: files.initrd)
            func announce(_ lines: String) throws {
                try FileTree.write("20251123-0a1b2c3d\n" + lines, to: files.buildID)
            }
            let sums = try await lab.transport.check(
                Command(
                    "sha256sum",
                    ["--binary", ImageFiles.kernelName, ImageFiles.initrdName],
                    workingDirectory: lab.site
                )
            ).outputText
            try announce(sums)
            let kexec = ImageFiles(in: lab.build.appending("kexec"))
            #expect(
                try await changes(lab).fetchKernel(beside: url) == .kexec(kernel: kexec.kernel, initrd: kexec.initrd)
            )
            #expect(try FileTree.readText(kexec.kernel) == "kernel")

            try announce("")
            await #expect(throws: Trouble.self) { try await changes(lab).fetchKernel(beside: url) }
            try announce(sums)
            try FileTree.write("other", to: files.initrd)
            await #expect(throws: (any Error).self) { try await changes(lab).fetchKernel(beside: url) }
            #expect(!FileTree.exists(kexec.initrd))
            try FileTree.remove(files.initrd)
            await #expect(throws: (any Error).self) { try await changes(lab).fetchKernel(beside: url) }
        }
    }

    @Test("BOOT-9: newer files are verified beside those published, which stay, and nothing of the newer is left")
    func verify() async throws {
        try await ToolchainLab.run { lab in
            let toolchains = try toolchains(lab)
            try await lab.make("0.4.0")
            guard case .ready(let old) = await toolchains.sync(try toolchain(lab)) else {
                throw ConformanceFailure("the toolchain was not published")
            }
            #expect(old.version == "0.4.0")
            try await lab.make("0.5.0")
            guard case .ready(let new) = await toolchains.verify(try toolchain(lab)) else {
                throw ConformanceFailure("the newer toolchain is not whole")
            }
            #expect(new.version == "0.5.0" && new.checksums != old.checksums)
            #expect(try FileTree.readText(lab.published.appending("version")) == "0.4.0\n")

            try FileTree.write("x", to: lab.site.appending("0.5.0/build2-toolchain-0.5.0.tar.xz"))
            guard case .refused(let trouble, let digest) = await toolchains.verify(try toolchain(lab)) else {
                throw ConformanceFailure("a corrupt archive was not refused")
            }
            #expect(trouble.cause.contains("build2-toolchain-0.5.0.tar.xz"))
            #expect(digest == new.checksums)
            try FileTree.write("disabled\n", to: lab.site.appending("toolchain.sha256"))
            guard case .disabled = await toolchains.verify(try toolchain(lab)) else {
                throw ConformanceFailure("a disabled toolchain was not seen")
            }
            let left = try await lab.transport.check(
                Command("find", [lab.build.appending(".updates").string, "-type", "f"])
            )
            #expect(left.outputText.isEmpty)
        }
    }

    @Test("TOOL-5: what was synced is bootstrapped; what was replaced in between is not")
    func bootstrap() async throws {
        try await ToolchainLab.run { lab in
            let toolchains = try toolchains(lab)
            try await lab.make("0.4.0")
            guard case .ready(let synced) = await toolchains.sync(try toolchain(lab)) else {
                throw ConformanceFailure("the toolchain was not published")
            }
            #expect(try await toolchains.bootstrap(toolchain(lab), synced).kind == .bbot)
            #expect(FileTree.exists(lab.layout.prefix(.default).appending("bin/bbot-agent")))
            let other = SyncedToolchain(
                version: "0.4.0",
                id: synced.id,
                checksums: try #require(.init(.sha1, bytes: [UInt8](repeating: 0, count: 20)))
            )
            await #expect(throws: Trouble.self) { try await toolchains.bootstrap(toolchain(lab), other) }
        }
    }

    @Test("TOOL-5: builtin agents need no bootstrap, and stand in for the toolchain's own where that can't be built")
    func builtinAgents() async throws {
        try await ToolchainLab.run { lab in
            let toolchains = try toolchains(lab)
            try await lab.make("0.4.0", ["--behaviour", "no-bbot"])
            let undecided = try toolchain(lab)
            guard case .ready(let synced) = await toolchains.sync(undecided) else {
                throw ConformanceFailure("the toolchain was not published")
            }
            let standIn = try await toolchains.bootstrap(undecided, synced)
            #expect(standIn.kind == .builtin && standIn.reason.contains("can't build the bot package: exit status 1"))
            let bbot = Toolchain(url: undecided.url, trust: undecided.trust, agent: .bbot)
            await #expect(throws: ToolchainBootstrapError.self) { try await toolchains.bootstrap(bbot, synced) }

            try FileTree.remove(lab.layout.log(.default))
            let builtin = Toolchain(url: undecided.url, trust: undecided.trust, agent: .builtin)
            #expect(try await toolchains.bootstrap(builtin, synced).kind == .builtin)
            #expect(!FileTree.exists(lab.layout.log(.default)))
        }
    }

    @Test("MACH-6: on btrfs, strays go and the rest stays: read-only, half received, temporary")
    func clean() async throws {
        guard Requirements.isMet(geteuid() == 0, "mounting a btrfs file system needs root") else { return }
        let transport = LocalTransport()
        try await withVolume("btrfs", mebibytes: 256, by: transport) { volume in
            let storage = try BtrfsStorage()
            let machine = volume.appending("linux-gcc_6")
            try FileTree.makeDirectory(machine.appending(".received"))
            func at(_ name: String) -> FilePath { machine.appending("linux-gcc_6-\(name)") }
            // Received as an upload does it, so that the received UUID is real.
            try await storage.create(volume.appending("source"))
            try FileTree.write("image", to: volume.appending("source").appending("disk.img"))
            try await storage.snapshot(
                volume.appending("source"),
                to: volume.appending("linux-gcc_6-1.0"),
                readOnly: true
            )
            let stream = volume.appending("stream")
            try await transport.check(
                Command("btrfs", ["send", "-f", stream.string, volume.appending("linux-gcc_6-1.0").string])
            )
            try await transport.check(
                Command("btrfs", ["receive", "-f", stream.string, machine.appending(".received").string])
            )
            let received = machine.appending(".received/linux-gcc_6-1.0")
            let whole = try await storage.subvolume(at: received)
            try FileTree.write("\(whole.uuid ?? "")\n", to: FilePath("\(received).whole"))
            try await storage.snapshot(received, to: at("1.0"), readOnly: true)
            guard symlink("linux-gcc_6-1.0", at("1").string) == 0 else { throw Errno(rawValue: errno) }
            try await storage.snapshot(at("1.0"), to: at("default"), readOnly: false)
            // What must go.
            try await storage.snapshot(at("default"), to: at("default-x7Q"), readOnly: false)
            try await storage.snapshot(at("1.0"), to: at("gone"), readOnly: true)
            try await storage.create(at("1.1"))
            try await storage.create(machine.appending(".received/linux-gcc_6-1.1"))
            // What is none of our business.
            try await storage.create(machine.appending("notes"))
            try FileTree.makeDirectory(at("default-dir"))

            let cleaner = MachineCleaner(
                storage: storage,
                layout: MachineLayout(root: volume.removingLastComponent()),
                toolchains: [.default]
            )
            let report = await cleaner.run()
            #expect(report.problems.isEmpty)
            #expect(
                Set(report.removed.compactMap { FilePath($0).lastComponent?.string }) == [
                    "linux-gcc_6-default-x7Q", "linux-gcc_6-gone", "linux-gcc_6-1.1",
                ]
            )
            #expect(
                try FileTree.names(in: machine) == [
                    ".received", "linux-gcc_6-1", "linux-gcc_6-1.0", "linux-gcc_6-default", "linux-gcc_6-default-dir",
                    "notes",
                ]
            )
            #expect(
                try FileTree.names(in: machine.appending(".received")) == ["linux-gcc_6-1.0", "linux-gcc_6-1.0.whole"]
            )
            // Removed by removing the link (manual, 5.3).
            try FileTree.remove(at("1"))
            _ = await cleaner.run()
            #expect(try FileTree.names(in: machine) == ["linux-gcc_6-default-dir", "notes"])
        }
    }
}
