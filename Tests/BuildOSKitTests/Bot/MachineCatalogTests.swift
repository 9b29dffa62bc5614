import Glibc
import TestSupport
import Testing

@testable import BuildOSKit

@Suite("BOT-1: the machines of a host") struct MachineCatalogTests {
    private static let toolchain = ToolchainName.default

    /// A volume in which nothing is a real subvolume: a catalog only reads.
    private struct Volume {
        let root: FilePath
        var machine: FilePath { root.appending("m/linux") }

        func addImage(_ revision: String, id: String) throws {
            let image = machine.appending("linux-\(revision)")
            try FileTree.makeDirectory(image)
            let manifest = MachineManifest(MachineHeader(id: id, name: "linux", summary: "a machine"))
            try FileTree.write(
                try ManifestSerializer.serialize([manifest.manifest]),
                to: image.appending(MachineManifest.fileName)
            )
        }

        func link(_ target: String) throws {
            try FileTree.remove(machine.appending("linux-1"))
            #expect(symlink(target, machine.appending("linux-1").string) == 0)
        }

        func addBootstrapped(id: String, toolchain: String) throws {
            let directory = machine.appending("linux-default")
            try FileTree.makeDirectory(directory)
            try BootstrappedManifest(
                machine: MachineManifest(MachineHeader(id: id, name: "linux", summary: "a machine")),
                toolchainID: toolchain,
                bootstrap: BootstrapManifest(versions: ["bbot": "1"])
            ).write(to: directory)
        }

        func content(_ toolchain: String = "t1") -> MachineCatalog.Content {
            MachineCatalog(
                layout: MachineLayout(root: root),
                toolchain: MachineCatalogTests.toolchain,
                toolchainID: toolchain
            ).content()
        }
    }

    @Test("MACH-1: a machine without an image in effect is none; one whose link leads astray is told")
    func links() async throws {
        try await withTemporaryDirectory { directory in
            let volume = Volume(root: directory)
            #expect(volume.content() == MachineCatalog.Content())
            try volume.addImage("1.0", id: "a")
            #expect(volume.content() == MachineCatalog.Content())
            try volume.link("../other/linux-1.0")
            #expect(volume.content().problems.count == 1 && volume.content().machines.isEmpty)
            try volume.link("linux-1.7")
            #expect(volume.content().problems.count == 1 && volume.content().machines.isEmpty)
            try volume.link("linux-1.0")
            #expect(volume.content().machines.map(\.revision) == [MachineRevision(version: 1, revision: 0)])
        }
    }

    @Test(
        "BOT-1: a machine is bootstrapped anew when its image or the toolchain changes, or what there is can't be read"
    )
    func readiness() async throws {
        try await withTemporaryDirectory { directory in
            let volume = Volume(root: directory)
            try volume.addImage("1.0", id: "a")
            try volume.addImage("1.1", id: "b")
            try volume.link("linux-1.0")
            func needs(_ toolchain: String = "t1") -> String? {
                if case .needsBootstrap(let why)? = volume.content(toolchain).machines.first?.readiness {
                    why
                } else {
                    nil
                }
            }
            #expect(needs() == "it was never bootstrapped")
            try volume.addBootstrapped(id: "a", toolchain: "t1")
            #expect(needs() == nil)
            #expect(needs("t2") == "the toolchain has changed")
            try volume.link("linux-1.1")
            #expect(needs() == "its image has changed")
            try FileTree.write(": 1\nid: x\n", to: volume.machine.appending("linux-default/manifest"))
            #expect(needs() == "what its last bootstrap left can't be read")
        }
    }

    @Test("BOT-4: failures of a bootstrap are counted, put off the next try, and end with another image or toolchain")
    func failures() async throws {
        try await withTemporaryDirectory { directory in
            let file = directory.appending("failed")
            let now = Timestamp(seconds: 1_000_000)
            #expect(BootstrapFailures.read(file, subject: "a t") == nil)
            let first = BootstrapFailures.add("no", subject: "a t", to: file, now: now)
            let second = BootstrapFailures.add("no", subject: "a t", to: file, now: now)
            #expect(first.count == 1 && second.count == 2)
            #expect(now.duration(to: first.nextTry) >= .seconds(45))
            #expect(now.duration(to: second.nextTry) > now.duration(to: first.nextTry))
            #expect(BootstrapFailures.read(file, subject: "a t") == second)
            #expect(BootstrapFailures.read(file, subject: "b t") == nil)
            #expect(BootstrapFailures.add("no", subject: "b t", to: file, now: now).count == 1)
        }
    }

    @Test("BOT-2: a temporary snapshot's name tells whose it is, and one machine is one instance's at a time")
    func locks() async throws {
        try await withTemporaryDirectory { directory in
            let volume = Volume(root: directory.appending("machines"))
            try volume.addImage("1.0", id: "a")
            try volume.link("linux-1.0")
            let machine = try #require(volume.content().machines.first)
            let number = try #require(GuestNumber(.default, number: 1, instance: 3))
            let name = machine.temporary(number).lastComponent?.string ?? ""
            guard case .temporary(.default, let suffix) = MachineEntry(name, of: machine.name) else {
                Issue.record("\(name) is not a temporary snapshot's name")
                return
            }
            #expect(suffix.hasPrefix("3_"))
            let locks = try MachineLocks(directory.appending("locks"), toolchain: .default)
            var held = try locks.take(machine)
            #expect(held != nil)
            #expect(try locks.take(machine) == nil)
            held = nil
            #expect(try locks.take(machine) != nil)
        }
    }
}
