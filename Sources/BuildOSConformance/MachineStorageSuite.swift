import BuildOSKit
import Glibc

/// What every ``MachineStorage`` must do.
public struct MachineStorageSuite: Sendable {
    let storage: any MachineStorage
    private let volume: FilePath

    /// Creates a suite for one implementation.
    ///
    /// - Parameter volume: a directory on a file system of the storage's kind.
    public init(_ storage: any MachineStorage, volume: FilePath) {
        self.storage = storage
        self.volume = volume
    }

    /// The checks, in the order in which they are best run.
    public var checks: [ConformanceCheck] { making + snapshots + refusals + streams }

    private var making: [ConformanceCheck] {
        [
            check("its volume is one; the file system of /proc is not") { _ in
                try require(try await storage.isVolume(volume), "\(volume) is not")
                try require(try await !storage.isVolume("/proc"), "/proc is")
            },
            check("there is no more room than the volume has") { directory in
                let space = try await storage.space(of: directory)
                try require(space.total > 0 && (0...space.total).contains(space.available), "\(space)")
                try await storage.synchronize(directory)
                try await expect(.notFound) { _ = try await storage.space(of: directory.appending("missing")) }
            },
            check("a created subvolume is there, writable, and listed by name among others and plain entries") {
                directory in
                try FileTree.makeDirectory(directory.appending("plain"))
                try FileTree.write("x", to: directory.appending("file"))
                for name in ["b", "a", "c-1.2"] { try await storage.create(directory.appending(name)) }
                guard symlink("a", directory.appending("link").string) == 0 else {
                    throw ConformanceFailure("can't make a link")
                }
                try FileTree.write("x", to: directory.appending("a/inside"))
                let found = try await storage.subvolumes(in: directory)
                try require(found.map(\.name) == ["a", "b", "c-1.2"], "listed \(found.map(\.name))")
                try require(found.allSatisfy { !$0.isReadOnly }, "one is read-only")
                try require(found.map(\.path) == found.map { directory.appending($0.name) }, "paths differ")
            },
            check("subvolumes deeper down are not listed") { directory in
                try await storage.create(directory.appending("outer"))
                try await storage.create(directory.appending("outer/inner"))
                let found = try await storage.subvolumes(in: directory)
                try require(found.map(\.name) == ["outer"], "listed \(found.map(\.name))")
                try await storage.delete(directory.appending("outer/inner"))
            },
            check("a deleted subvolume is gone, with what was in it, read-only or not") { directory in
                for readOnly in [false, true] {
                    let path = directory.appending("gone")
                    try await storage.create(path)
                    try FileTree.write("x", to: path.appending("inside"))
                    try await storage.setReadOnly(readOnly, path)
                    try await storage.delete(path)
                    try require(!FileTree.exists(path), "it is there")
                }
                try require(try await storage.subvolumes(in: directory).isEmpty, "something is listed")
            },
        ]
    }

    private var snapshots: [ConformanceCheck] {
        [
            check("a snapshot has the content of its source, and goes its own way") { directory in
                let (source, copy) = (directory.appending("source"), directory.appending("copy"))
                try await storage.create(source)
                try FileTree.write("one", to: source.appending("file"))
                try await storage.snapshot(source, to: copy, readOnly: false)
                try FileTree.write("two", to: copy.appending("file"))
                try require(try FileTree.readText(source.appending("file")) == "one", "the source changed")
                try FileTree.write("three", to: source.appending("file"))
                try require(try FileTree.readText(copy.appending("file")) == "two", "the snapshot changed")
                let (original, snapshot) = (
                    try await storage.subvolume(at: source), try await storage.subvolume(at: copy)
                )
                try require(!snapshot.isReadOnly, "it is read-only")
                if let uuid = original.uuid {
                    try require(snapshot.parentUUID == uuid, "its parent is \(snapshot.parentUUID ?? "nobody")")
                    try require(snapshot.uuid != uuid, "both have one identity")
                }
            },
            check("a read-only snapshot can't be written until it is made writable") { directory in
                let (source, copy) = (directory.appending("source"), directory.appending("copy"))
                try await storage.create(source)
                try FileTree.write("one", to: source.appending("file"))
                try await storage.snapshot(source, to: copy, readOnly: true)
                try require(try await storage.subvolume(at: copy).isReadOnly, "it is writable")
                if storage.capabilities.enforcedReadOnly {
                    do throws(FileError) {
                        try FileTree.write("two", to: copy.appending("file"))
                        throw FileError("refuse to write", copy, .invalidArgument)
                    } catch {
                        try require(error.errno == .readOnlyFileSystem, "writing gave \(error)")
                    }
                }
                try await storage.setReadOnly(false, copy)
                try FileTree.write("two", to: copy.appending("file"))
                try await storage.setReadOnly(true, copy)
                try require(try await storage.subvolume(at: copy).isReadOnly, "it is writable again")
            },
            check("a source that is deleted leaves its snapshots as they were") { directory in
                let (source, copy) = (directory.appending("source"), directory.appending("copy"))
                try await storage.create(source)
                try FileTree.write("one", to: source.appending("file"))
                try await storage.snapshot(source, to: copy, readOnly: true)
                try await storage.delete(source)
                try require(try FileTree.readText(copy.appending("file")) == "one", "the snapshot changed")
            },
            check("many snapshots are made side by side") { directory in
                try await storage.create(directory.appending("source"))
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<20 {
                        group.addTask {
                            try await storage.snapshot(
                                directory.appending("source"),
                                to: directory.appending("copy\(number)"),
                                readOnly: number % 2 == 0
                            )
                        }
                    }
                    try await group.waitForAll()
                }
                try require(try await storage.subvolumes(in: directory).count == 21, "not all are there")
            },
        ]
    }

    private var refusals: [ConformanceCheck] {
        [
            check("what isn't there is 'not found'") { directory in
                let missing = directory.appending("missing")
                try await expect(.notFound) { _ = try await storage.subvolume(at: missing) }
                try await expect(.notFound) { _ = try await storage.subvolumes(in: missing) }
                try await expect(.notFound) { try await storage.delete(missing) }
                try await expect(.notFound) { try await storage.setReadOnly(true, missing) }
                try await expect(.notFound) {
                    try await storage.snapshot(missing, to: directory.appending("copy"), readOnly: true)
                }
                try await expect(.notFound) { try await storage.create(missing.appending("inner")) }
            },
            check("a plain directory, a file and a link to a subvolume are not subvolumes, and are not deleted") {
                directory in
                let (plain, file, link) = (
                    directory.appending("plain"), directory.appending("file"), directory.appending("link")
                )
                try FileTree.makeDirectory(plain)
                try FileTree.write("x", to: file)
                try await storage.create(directory.appending("real"))
                guard symlink("real", link.string) == 0 else { throw ConformanceFailure("can't make a link") }
                for path in [plain, file, link] {
                    try await expect(.notASubvolume) { try await storage.delete(path) }
                    try await expect(.notASubvolume) { _ = try await storage.subvolume(at: path) }
                    try require(FileTree.exists(path), "\(path) was deleted")
                }
                try require(FileTree.exists(directory.appending("real")), "the link was followed")
            },
            check("nothing is made over what is there") { directory in
                let (source, other) = (directory.appending("source"), directory.appending("other"))
                try await storage.create(source)
                try FileTree.makeDirectory(other)
                try await expect(.alreadyExists) { try await storage.create(source) }
                try await expect(.alreadyExists) {
                    try await storage.snapshot(source, to: other, readOnly: true)
                }
                try require(try FileTree.names(in: other).isEmpty, "the snapshot is inside the directory")
            },
            check("a subvolume that holds others is not deleted") { directory in
                try await storage.create(directory.appending("outer"))
                try await storage.create(directory.appending("outer/inner"))
                try await expect(.busy) { try await storage.delete(directory.appending("outer")) }
                try require(FileTree.exists(directory.appending("outer/inner")), "it was")
                try await storage.delete(directory.appending("outer/inner"))
            },
        ]
    }

    func expect(
        _ kind: MachineStorageError.Kind,
        _ circumstances: String = "",
        _ body: () async throws -> Void
    ) async throws {
        let place = circumstances.isEmpty ? "" : " (\(circumstances))"
        do {
            try await body()
        } catch let error as MachineStorageError {
            try require(error.kind == kind, "expected \(kind)\(place), got \(error.kind): \(error)")
            return
        }
        throw ConformanceFailure("expected \(kind), got no error\(place)")
    }

    /// Each check has a directory of its own; what it leaves in it is deleted.
    func check(
        _ name: String,
        _ body: @escaping @Sendable (FilePath) async throws -> Void
    ) -> ConformanceCheck {
        ConformanceCheck(name) {
            try await withScratchDirectory(in: volume) { directory in
                let result: Result<Void, any Error>
                do {
                    try await body(directory)
                    result = .success(())
                } catch {
                    result = .failure(error)
                }
                for place in [directory.appending(StreamLab.inboxName), directory] {
                    for left in (try? await storage.subvolumes(in: place)) ?? [] {
                        try? await storage.delete(left.path)
                    }
                }
                try result.get()
            }
        }
    }
}
