import BuildOSConformance
import BuildOSKit
import Glibc
import TestSupport
import Testing

@Suite("Machines on a host: roll back, prune, remove, list; on btrfs") struct MachineKeeperTests {
    private func revision(_ text: String) throws -> MachineRevision { try #require(MachineRevision(text)) }

    @Test("MACH-9: a roll-back is one rename to a revision that the host has; there and back")
    func rollBack() async throws {
        try await MachineLab.run { lab in
            try await lab.makeImage("1.0")
            try await lab.makeImage("1.1", from: "1.0")
            try await lab.upload("1.0")
            try await lab.upload("1.1")
            let dry = try await lab.keeper().rollBack(to: nil, isDryRun: true)
            #expect(try dry.now == revision("1.0"))
            #expect(try await lab.revisionInEffect() == "1.1")
            let back = try await lab.keeper().rollBack(to: nil)
            #expect(try back.before == revision("1.1") && back.now == revision("1.0"))
            #expect(try await lab.revisionInEffect() == "1.0")
            await expectError("machine 'linux-gcc_6': there is no revision before 1.0 (it has 1.0, 1.1)") {
                try await lab.keeper().rollBack(to: nil)
            }
            await expectError("image 'linux-gcc_6-1.7': the host does not have it (it has 1.0, 1.1)") {
                try await lab.keeper().rollBack(to: revision("1.7"))
            }
            _ = try await lab.keeper().rollBack(to: revision("1.1"))
            #expect(try await lab.revisionInEffect() == "1.1")
            // Not to what could change.
            try await lab.storage.create(lab.directory.appending("linux-gcc_6-1.5"))
            await expectError(
                "image 'linux-gcc_6-1.5': it is writable, so it may change while builds are made from it "
                    + "(make it read-only on the host, or add it anew under another revision)"
            ) { try await lab.keeper().rollBack(to: revision("1.5")) }
            #expect(try await lab.revisionInEffect() == "1.1")
        }
    }

    @Test("MACH-9: pruning leaves the newest, that in effect, and what a toolchain's image was made from")
    func prune() async throws {
        try await MachineLab.run { lab in
            try await lab.makeImage("1.0")
            for number in 1...4 { try await lab.makeImage("1.\(number)", from: "1.\(number - 1)") }
            for number in 0...4 { try await lab.upload("1.\(number)") }
            _ = try await lab.keeper().rollBack(to: revision("1.2"))
            try await lab.storage.snapshot(
                lab.directory.appending("linux-gcc_6-1.1"),
                to: lab.directory.appending("linux-gcc_6-default"),
                readOnly: true
            )
            let dry = try await lab.keeper().prune(keep: 1, isDryRun: true)
            #expect(dry.remove.map(\.description) == ["1.0", "1.3"] && dry.inUse.map(\.description) == ["1.1", "1.2"])
            #expect(try await lab.contents().revisions.count == 5)
            #expect(try await lab.keeper().prune(keep: 1) == dry)
            #expect(try await lab.contents().revisions.map(\.revision.description) == ["1.1", "1.2", "1.4"])
            #expect(try await lab.revisionInEffect() == "1.2")
            try await lab.requireNothingLeaked()
            // What is left is still a base.
            try await lab.makeImage("1.5", from: "1.4")
            #expect(try await lab.upload("1.5").plan?.base == "linux-gcc_6-1.4")
        }
    }

    /// A host with a machine that two builds run in.
    private func withBuilds(_ body: (MachineLab, [FilePath]) async throws -> Void) async throws {
        try await MachineLab.run { lab in
            try await lab.makeImage("1.0")
            try await lab.upload("1.0")
            let image = lab.directory.appending("linux-gcc_6-default")
            try await lab.storage.snapshot(lab.directory.appending("linux-gcc_6-1.0"), to: image, readOnly: true)
            let builds = ["1_a8Xq", "2_Zz09"].map { lab.directory.appending("linux-gcc_6-default-\($0)") }
            for build in builds { try await lab.storage.snapshot(image, to: build, readOnly: false) }
            try await body(lab, builds)
        }
    }

    @Test("MACH-4: a removal takes the links first, waits for builds, says for which, and then takes all the rest")
    func remove() async throws {
        try await withBuilds { lab, builds in
            let dry = try await lab.keeper().remove(timeLimit: nil, isDryRun: true)
            #expect(dry.removed == ["linux-gcc_6-default", "linux-gcc_6-1.0"] && dry.waitsFor.count == 2)
            #expect(try await lab.revisionInEffect() == "1.0")

            let clock = TestClock()
            let (events, continuation) = AsyncStream.makeStream(of: [String].self)
            var waits = events.makeAsyncIterator()
            async let removal = lab.keeper().remove(timeLimit: .seconds(3600), clock: clock) { continuation.yield($0) }
            #expect(await waits.next()?.count == 2)
            #expect(!FileTree.exists(lab.directory.appending("linux-gcc_6-1")))
            #expect(FileTree.exists(lab.directory.appending("linux-gcc_6-1.0")))
            await expectError("is being changed: removal, process", contains: true) {
                try await lab.keeper().prune(keep: 1)
            }
            try await lab.storage.delete(builds[0])
            await clock.advanceToNextSleeper()
            #expect(await waits.next() == ["linux-gcc_6-default-2_Zz09"])
            try await lab.storage.delete(builds[1])
            await clock.advanceToNextSleeper()
            #expect(try await removal.removed == ["linux-gcc_6-default", "linux-gcc_6-1.0"])
            #expect(!FileTree.exists(lab.directory))
            #expect(try FileTree.names(in: lab.volume.appending(".uploads")).isEmpty)
        }
    }

    @Test("MACH-4: at the time limit a removal says what still runs; run again, it finishes")
    func timeLimit() async throws {
        try await withBuilds { lab, builds in
            await expectError(
                "machine 'linux-gcc_6': builds still run in it: linux-gcc_6-default-1_a8Xq, linux-gcc_6-default-2_Zz09 "
                    + "(no new ones begin; run it again later to remove the rest)"
            ) { try await lab.keeper().remove(timeLimit: .zero) }
            #expect(try await lab.revisionInEffect() == nil)
            #expect(try await lab.contents().revisions.count == 1)
            for build in builds { try await lab.storage.delete(build) }
            _ = try await lab.keeper().remove(timeLimit: .zero)
            #expect(!FileTree.exists(lab.directory))
            await expectError(
                "machine 'linux-gcc_6': there is none on volume 'default' "
                    + "('buildosctl machine list' shows the machines there are)"
            ) { try await lab.keeper().remove(timeLimit: .zero) }
        }
    }

    @Test("MACH-4: what is none of the machine's stays, and is named")
    func strangers() async throws {
        try await MachineLab.run { lab in
            try await lab.makeImage("1.0")
            try await lab.upload("1.0")
            try FileTree.write("mine", to: lab.directory.appending("notes"))
            await expectError(
                "directory \(lab.directory): something else is in it: notes "
                    + "(the machine is gone; look at what is left and remove it by hand)"
            ) { try await lab.keeper().remove(timeLimit: nil) }
            #expect(try FileTree.names(in: lab.directory) == ["notes"])
        }
    }

    @Test("a listing shows volumes, machines, what is in effect, and builds")
    func listing() async throws {
        try await withBuilds { lab, _ in
            try FileTree.makeDirectory(lab.root.appending("empty"))
            let listing = try await MachineListing(storage: lab.storage, layout: lab.layout)
            #expect(listing.volumes.map(\.name.text) == ["default", "empty"])
            let machine = try #require(listing.volumes.first?.machines.first)
            #expect(machine.current(version: 1) == (try revision("1.0")))
            #expect(machine.temporary.count == 2 && machine.bootstrapped.count == 1)
        }
    }
}

/// Expects an error with a text, or that contains one.
func expectError(
    _ text: String,
    contains: Bool = false,
    isolation: isolated (any Actor)? = #isolation,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () async throws -> some Any
) async {
    do {
        let value = try await body()
        Issue.record("no error, but \(value)", sourceLocation: sourceLocation)
    } catch {
        let described = "\(error)"
        #expect(contains ? described.contains(text) : described == text, sourceLocation: sourceLocation)
    }
}
