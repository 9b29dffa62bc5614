import BuildOSKit
import Glibc
import TestSupport
import Testing

@Suite("Machine cleaning") struct MachineCleanerTests {
    /// A volume `default` with a machine `m`, in a storage that is pretended.
    private struct Yard {
        let root: FilePath
        let storage = PretendStorage()
        var volume: FilePath { root.appending("default") }
        var machine: FilePath { volume.appending("m") }

        func add(_ name: String, readOnly: Bool = true, received: String? = "uuid", whole: Bool = true) async throws {
            let path = machine.appending(name)
            try await storage.add(path, readOnly: readOnly, received: received)
            if whole, name.hasPrefix(".received/") { try FileTree.write("\(path)\n", to: FilePath("\(path).whole")) }
        }
        func link(_ name: String, _ target: String) throws {
            try FileTree.makeDirectory(machine)
            guard symlink(target, machine.appending(name).string) == 0 else { throw Errno(rawValue: errno) }
        }
        func clean(_ scope: MachineCleaner.Scope = .boot, toolchains: String...) async throws -> MachineCleaningReport {
            await MachineCleaner(
                storage: storage,
                layout: MachineLayout(root: root),
                toolchains: try Set(
                    ["default"].map { try ToolchainName($0) } + toolchains.map { try ToolchainName($0) }
                )
            ).run(scope)
        }
        func names(_ path: String = "") throws -> [String] {
            try FileTree.names(in: path.isEmpty ? machine : machine.appending(path))
        }
    }

    private func withYard(_ body: (Yard) async throws -> Void) async throws {
        try await withTemporaryDirectory { directory in
            let yard = Yard(root: directory.appending("machines"))
            try FileTree.makeDirectory(yard.machine)
            try await body(yard)
        }
    }

    @Test("MACH-6: a healthy machine is left as it is")
    func healthy() async throws {
        try await withYard { yard in
            for name in ["m-1.0", "m-1.1", "m-default", ".received/m-1.1"] { try await yard.add(name) }
            try yard.link("m-1", "m-1.1")
            #expect(try await yard.clean() == MachineCleaningReport())
            #expect(try yard.names() == [".received", "m-1", "m-1.0", "m-1.1", "m-default"])
        }
    }

    @Test("MACH-6: temporary snapshots go, whatever their toolchain")
    func temporary() async throws {
        try await withYard { yard in
            for name in ["m-1.0", "m-default", "m-default-x1", "m-gone-abc"] {
                try await yard.add(name, readOnly: false)
            }
            try yard.link("m-1", "m-1.0")
            let report = try await yard.clean()
            #expect(report.problems.isEmpty)
            #expect(report.removed.map { FilePath($0).lastComponent?.string } == ["m-default-x1", "m-gone-abc"])
            #expect(try yard.names() == ["m-1", "m-1.0", "m-default"])
        }
    }

    @Test("MACH-6: a bootstrapped machine goes with its toolchain, or with its source")
    func bootstrapped() async throws {
        try await withYard { yard in
            for name in ["m-1.0", "m-default", "m-other"] { try await yard.add(name) }
            try yard.link("m-1", "m-1.0")
            _ = try await yard.clean(toolchains: "other")
            #expect(try yard.names() == ["m-1", "m-1.0", "m-default", "m-other"])
            _ = try await yard.clean()
            #expect(try yard.names() == ["m-1", "m-1.0", "m-default"])
        }
    }

    @Test("MACH-6: a machine whose link was removed is removed whole, its directory last (manual, 5.3)")
    func removedMachine() async throws {
        try await withYard { yard in
            for name in ["m-1.0", "m-1.1", "m-default", "m-default-x", ".received/m-1.1"] { try await yard.add(name) }
            let report = try await yard.clean()
            #expect(report.problems.isEmpty)
            #expect(!FileTree.exists(yard.machine))
            #expect(FileTree.exists(yard.volume))
        }
    }

    @Test("MACH-6: a half-received image goes, the one in effect and finished ones stay")
    func halfReceived() async throws {
        try await withYard { yard in
            try await yard.add("m-1.0", readOnly: false)
            try await yard.add("m-1.1", readOnly: false, received: nil)
            try await yard.add("m-1.2", readOnly: true)
            try await yard.add(".received/m-1.1", readOnly: false, received: nil)
            try await yard.add(".received/m-1.2", readOnly: true, received: nil)
            try await yard.add(".received/m-1.3")
            // Its stream was cut between two commands: the storage took it for whole, the receiver didn't.
            try await yard.add(".received/m-1.4", whole: false)
            try yard.link("m-1", "m-1.0")
            #expect(try await yard.clean().removed.count == 4)
            #expect(try yard.names() == [".received", "m-1", "m-1.0", "m-1.2"])
            #expect(try yard.names(".received") == ["m-1.3", "m-1.3.whole"])
        }
    }

    @Test("MACH-6: what is no subvolume, or follows no pattern, is never touched")
    func strangers() async throws {
        try await withYard { yard in
            try FileTree.makeDirectory(yard.machine.appending("m-default-dir"))
            try FileTree.write("x", to: yard.machine.appending("m-default-file"))
            for name in ["backup", "new-m-1", "mm-default-x", "m-default-a-b"] {
                try await yard.add(name, readOnly: false)
            }
            try await yard.storage.add(yard.volume.appending("m-default-x"))
            try await yard.storage.add(yard.volume.appending(".hidden/.hidden-default-x"))
            let report = try await yard.clean()
            #expect(report == MachineCleaningReport())
            #expect(
                try yard.names() == [
                    "backup", "m-default-a-b", "m-default-dir", "m-default-file", "mm-default-x", "new-m-1",
                ]
            )
            #expect(try FileTree.names(in: yard.volume) == [".hidden", "m", "m-default-x"])
        }
    }

    @Test(
        "MACH-6: a link that leads nowhere, or out of the directory, is reported, and no image is removed for it",
        arguments: ["m-1.9", "/etc", "../../m-1.0", "m-2.0", "m-1.0/", "m-default", "m-1.0\u{1b}[31m"]
    )
    func badLinks(target: String) async throws {
        try await withYard { yard in
            for name in ["m-1.0", "m-2.0", "m-default"] { try await yard.add(name) }
            try yard.link("m-1", target)
            try yard.link("m-2", "m-2.0")
            let report = try await yard.clean()
            #expect(report.removed.isEmpty)
            #expect(report.problems.count == 1)
            #expect(report.problems.allSatisfy { !$0.unicodeScalars.contains("\u{1b}") })
            #expect(try yard.names() == ["m-1", "m-1.0", "m-2", "m-2.0", "m-default"])
        }
    }

    @Test("MACH-6: a machine directory that is a link is not followed")
    func linkedMachine() async throws {
        try await withYard { yard in
            let elsewhere = yard.root.removingLastComponent().appending("elsewhere")
            try await yard.storage.add(elsewhere.appending("n-default-x"))
            guard symlink(elsewhere.string, yard.volume.appending("n").string) == 0 else {
                throw Errno(rawValue: errno)
            }
            #expect(try await yard.clean().removed == [yard.machine.string])
            #expect(FileTree.exists(elsewhere.appending("n-default-x")))
        }
    }

    @Test("MACH-6: what can't be removed is reported, and the rest is cleaned all the same")
    func failure() async throws {
        try await withYard { yard in
            for name in ["m-1.0", "m-default-a", "m-default-b"] { try await yard.add(name) }
            try yard.link("m-1", "m-1.0")
            await yard.storage.refuseDeletion(of: yard.machine.appending("m-default-a"))
            let report = try await yard.clean()
            #expect(report.removed == [yard.machine.appending("m-default-b").string])
            #expect(report.problems == ["\(yard.machine.appending("m-default-a")): it is in use"])
        }
    }

    @Test("MACH-6: a volume of another kind is left alone, the others are cleaned; no volumes are no problem")
    func volumes() async throws {
        try await withYard { yard in
            try await yard.add("m-default-x")
            try await yard.storage.add(yard.root.appending("usb").appending("m").appending("m-default-x"))
            await yard.storage.declareStranger(yard.root.appending("usb"))
            let report = try await yard.clean()
            #expect(report.problems.count == 1)
            #expect(FileTree.exists(yard.root.appending("usb").appending("m").appending("m-default-x")))
            #expect(!FileTree.exists(yard.machine))
            try FileTree.remove(yard.root)
            #expect(try await yard.clean() == MachineCleaningReport())
        }
    }

    @Test("MACH-6: a monitor that is only restarted removes temporary snapshots, and nothing that is being uploaded")
    func restart() async throws {
        try await withYard { yard in
            for name in ["m-1.0", "m-gone", "m-default-x"] { try await yard.add(name, readOnly: false, received: nil) }
            try await yard.add(".received/m-1.0", readOnly: false, received: nil)
            #expect(try await yard.clean(.restart).removed == [yard.machine.appending("m-default-x").string])
            #expect(try yard.names() == [".received", "m-1.0", "m-gone"])
        }
    }

    @Test("BOOT-11: builds that run are found by their temporary snapshots, in all volumes")
    func inUse() async throws {
        try await withYard { yard in
            let layout = MachineLayout(root: yard.root)
            for name in ["m-1.0", "m-default", "m-default-x1", "m-default.lock"] {
                try FileTree.makeDirectory(yard.machine.appending(name))
            }
            try FileTree.makeDirectory(yard.root.appending("ssd").appending("w-msvc").appending("w-msvc-t2-yy"))
            let found = try layout.machinesInUse()
            #expect(found.map(\.snapshot) == ["m-default-x1", "w-msvc-t2-yy"])
            #expect(found.map(\.toolchain.text) == ["default", "t2"])
            #expect(try MachineLayout(root: yard.root.appending("nowhere")).machinesInUse().isEmpty)
        }
    }
}
