import BuildOSConformance
import BuildOSKit
import Glibc
import TestSupport
import Testing

@Suite("Machines that can't be brought to a host, on btrfs") struct MachineUploadErrorTests {
    @Test("MACH-2: a subvolume that is writable, isn't there, or isn't one is not sent")
    func sources() async throws {
        try await MachineLab.run { lab in
            try await lab.storage.create(lab.desk.appending("linux-gcc_6-1.0"))
            await expectError(
                "image 'linux-gcc_6-1.0': \(lab.desk)/linux-gcc_6-1.0 is writable, so it could change while it is sent "
                    + "(make it read-only: btrfs property set -ts \(lab.desk)/linux-gcc_6-1.0 ro true)"
            ) { try await lab.upload("1.0") }
            await expectError("\(lab.desk)/linux-gcc_6-1.1: there is no such subvolume") { try await lab.upload("1.1") }
            try FileTree.makeDirectory(lab.desk.appending("linux-gcc_6-1.2"))
            await expectError("\(lab.desk)/linux-gcc_6-1.2: it is not a btrfs subvolume") {
                try await lab.upload("1.2")
            }
            #expect(!FileTree.exists(lab.directory))
        }
    }

    @Test("MACH-2: a revision the host has with other content is never replaced")
    func otherContent() async throws {
        try await MachineLab.run { lab in
            try await lab.makeImage("1.0")
            try await lab.upload("1.0")
            for name in ["linux-gcc_6-1.0", "work-1.0"] { try await lab.storage.delete(lab.desk.appending(name)) }
            try await lab.makeImage("1.0", kibibytes: 512)
            let report = try await lab.upload("1.0")
            #expect(
                report.error?.description
                    == "image 'linux-gcc_6-1.0': the host has that revision with other content "
                    + "(give what you have the next revision: snapshot it, read-only, as linux-gcc_6-1.1)"
            )
            #expect(
                try FileTree.read(lab.directory.appending("linux-gcc_6-1/disk.img"), limit: 1 << 24).count == 4 << 20
            )
        }
    }

    @Test("MACH-2: no room is found out before anything is sent")
    func noRoomBefore() async throws {
        try await MachineLab.run(mebibytes: 128) { lab in
            try await lab.makeImage("1.0", kibibytes: 110 << 10)
            let report = try await lab.upload("1.0")
            #expect(report.error?.kind == .noSpace)
            #expect(report.error?.description.contains("are free on volume 'default' (remove machines") == true)
            #expect(!FileTree.exists(lab.directory))
        }
    }

    @Test("MACH-2: room that runs out in the middle is told, what was in effect stays, and nothing is left")
    func noRoomInTheMiddle() async throws {
        try await MachineLab.run(mebibytes: 128) { lab in
            try await lab.makeImage("1.0", kibibytes: 256)
            try await lab.makeImage("1.1", from: "1.0", kibibytes: 256)
            try await lab.upload("1.0")
            // An incremental stream's size is not known beforehand.
            try await lab.storage.snapshot(
                lab.desk.appending("linux-gcc_6-1.1"),
                to: lab.desk.appending("work"),
                readOnly: false
            )
            var generator = SeededGenerator(seed: 5)
            for number in 0..<12 {
                let words = (0..<(1 << 20)).map { _ in generator.next() }
                try FileTree.write(
                    words.withUnsafeBytes { Array($0) },
                    to: lab.desk.appending("work/disk\(number).img")
                )
            }
            let image = lab.desk.appending("linux-gcc_6-1.2")
            try await lab.storage.snapshot(lab.desk.appending("work"), to: image, readOnly: true)
            let report = try await lab.upload("1.2")
            #expect(report.error?.kind == .noSpace, "\(String(describing: report.error))")
            #expect(try await lab.revisionInEffect() == "1.0")
            // The next run cleans up; it is a smaller one.
            #expect(try await lab.upload("1.1").error == nil)
            #expect(try await lab.revisionInEffect() == "1.1")
            try await lab.requireNothingLeaked()
        }
    }

    @Test("MACH-2: of two operators at once, one is told that the other is there")
    func twoOperators() async throws {
        try await MachineLab.run { lab in
            try await lab.makeImage("1.0")
            // Held as another process holds it.
            let uploads = lab.volume.appending(".uploads")
            try FileTree.makeDirectory(uploads)
            let path = uploads.appending("linux-gcc_6.lock")
            try FileTree.write("upload of linux-gcc_6-1.0, process 7, since 2026-01-01T00:00:00Z\n", to: path)
            let file = try FileDescriptor.open(path, .readWrite)
            #expect(flock(file.rawValue, LOCK_EX | LOCK_NB) == 0)
            #expect(
                try await lab.upload("1.0").error?.description
                    == "machine 'linux-gcc_6': it is being changed: upload of linux-gcc_6-1.0, process 7, since "
                    + "2026-01-01T00:00:00Z (wait until that has ended, then run it again)"
            )
            try file.close()
            async let one = lab.upload("1.0")
            async let other = lab.upload("1.0")
            let reports = try await [one, other]
            #expect(reports.contains { $0.error == nil })
            #expect(reports.allSatisfy { $0.error == nil || $0.error?.kind == .busy })
            #expect(try await lab.revisionInEffect() == "1.0")
            try await lab.requireNothingLeaked()
        }
    }

    @Test("MACH-2: clocks that differ between desk and host change nothing; spools from the future are young")
    func clockSkew() async throws {
        try await MachineLab.run { lab in
            try await lab.makeImage("1.0")
            var options = UploadOptions()
            options.compression = .never
            _ = try await lab.upload("1.0", options, to: CuttingTransport(InProcessHost(lab: lab), after: 2 << 20))
            let uploads = lab.volume.appending(".uploads")
            let stale = uploads.appending("other-1.0.abc.spool")
            try FileTree.write("x", to: stale)
            func setTime(_ path: FilePath, _ seconds: Int) {
                let time = timespec(tv_sec: seconds, tv_nsec: 0)
                utimensat(AT_FDCWD, path.string, [time, time], 0)
            }
            for name in try FileTree.names(in: uploads) {
                setTime(uploads.appending(name), name.hasPrefix("other") ? 1 : time(nil) + 10 * 365 * 86_400)
            }
            for name in ["linux-gcc_6-1.0/disk.img", "linux-gcc_6-1.0"] { setTime(lab.desk.appending(name), 1) }
            let receipt = try #require(try await lab.upload("1.0", options).receipt)
            #expect(receipt.resumed > 0)
            #expect(!FileTree.exists(stale))
            #expect(try await lab.revisionInEffect() == "1.0")
        }
    }

    @Test("MACH-2: a volume that is none, or of another kind, is told")
    func volumes() async throws {
        try await MachineLab.run { lab in
            try await lab.makeImage("1.0")
            let nowhere = try await lab.upload("1.0", to: InProcessHost(lab: lab, root: "/nonexistent"))
            #expect(
                nowhere.error?.description
                    == "volume 'default': there is no directory /nonexistent/default "
                    + "(give the name of a volume that the host has: 'buildosctl machine list' shows them)"
            )
            try await withVolume("tmpfs", mebibytes: 16, by: lab.transport) { other in
                try FileTree.makeDirectory(other.appending("default"))
                let report = try await lab.upload("1.0", to: InProcessHost(lab: lab, root: other))
                #expect(report.error?.description.contains("is not on a file system of the storage 'btrfs'") == true)
            }
        }
    }

    @Test("MACH-2: a stream of another image than was offered is not taken for it")
    func otherStream() async throws {
        try await MachineLab.run { lab in
            try await lab.makeImage("1.0")
            try await lab.makeImage("1.1", from: "1.0")
            // Found while it is sent: the storage is asked for one image and gives another.
            let uploader = MachineUploader(
                storage: SwappingStorage(inner: lab.storage, other: lab.desk.appending("linux-gcc_6-1.1")),
                transport: lab.transport,
                source: lab.desk.appending("linux-gcc_6-1.0"),
                options: UploadOptions()
            )
            let report = try #require(try await uploader.upload(to: [lab.target()]) { _, _ in }.first)
            #expect(report.error?.cause == "the stream holds 'linux-gcc_6-1.1', not linux-gcc_6-1.0")
            #expect(try await lab.revisionInEffect() == nil)
            #expect(try await lab.upload("1.0").error == nil)
            try await lab.requireNothingLeaked()
        }
    }
}

/// Not a storage: btrfs, but it sends another subvolume than it is asked for, as a broken sender would.
private struct SwappingStorage: MachineStorage {
    let inner: any MachineStorage
    let other: FilePath

    var backendName: String { inner.backendName }
    var capabilities: MachineStorageCapabilities { inner.capabilities }

    func isVolume(_ directory: FilePath) async throws(MachineStorageError) -> Bool {
        try await inner.isVolume(directory)
    }
    func space(of directory: FilePath) async throws(MachineStorageError) -> VolumeSpace {
        try await inner.space(of: directory)
    }
    func subvolumes(in directory: FilePath) async throws(MachineStorageError) -> [Subvolume] {
        try await inner.subvolumes(in: directory)
    }
    func subvolume(at path: FilePath) async throws(MachineStorageError) -> Subvolume {
        try await inner.subvolume(at: path)
    }
    func create(_ path: FilePath) async throws(MachineStorageError) { try await inner.create(path) }
    func snapshot(_ source: FilePath, to destination: FilePath, readOnly: Bool) async throws(MachineStorageError) {
        try await inner.snapshot(source, to: destination, readOnly: readOnly)
    }
    func setReadOnly(_ readOnly: Bool, _ path: FilePath) async throws(MachineStorageError) {
        try await inner.setReadOnly(readOnly, path)
    }
    func delete(_ path: FilePath) async throws(MachineStorageError) { try await inner.delete(path) }
    func synchronize(_ directory: FilePath) async throws(MachineStorageError) { try await inner.synchronize(directory) }
    func send(
        _ request: SendRequest,
        to sink: FileDescriptor,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(MachineStorageError) {
        var request = request
        request.subvolume = other
        try await inner.send(request, to: sink, progress: progress)
    }
}
