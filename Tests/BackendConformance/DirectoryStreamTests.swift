import BtrfsStorage
import Glibc
import LocalTransport
import TestSupport
import Testing

@testable import BuildOSKit
@testable import DirectoryStorage

/// Streams of the format directory-1, put together by hand and at random.
@Suite("BACK-1: directory streams") struct DirectoryStreamTests {
    private static let metadata = EntryMetadata(mode: 0o755, user: 0, group: 0, seconds: 1, nanoseconds: 2)

    /// A stream with what a closure puts in.
    private static func stream(_ body: (StreamEncoder) throws -> Void) throws -> [UInt8] {
        let file = FilePath("/tmp/buildos-test-\(UInt64.random(in: .min ... .max))")
        let descriptor = try FileDescriptor.open(
            file,
            .writeOnly,
            options: [.create, .exclusiveCreate, .closeOnExec],
            permissions: .ownerReadWrite
        )
        defer { unlink(file.string) }
        try descriptor.closeAfter {
            let encoder = try StreamEncoder(StreamWriter(descriptor, stop: StopSignal()))
            try encoder.begin(DirectoryStream.Beginning(name: "new", origin: .new(), parent: nil))
            try encoder.enter(nil, metadata)
            try body(encoder)
            try encoder.leave()
            try encoder.end()
        }
        return try FileTree.read(file, limit: 8 << 20)
    }

    private static func name(_ text: String) throws -> EntryName { try #require(EntryName(text.utf8)) }
    private static func path(_ text: String) throws -> EntryPath { try #require(EntryPath(text.utf8)) }

    private static func sample() throws -> [UInt8] {
        try stream { encoder in
            try encoder.enter(name("directory"), metadata)
            try encoder.file(name("file"), metadata, size: 10_000, base: nil)
            try encoder.attribute(#require(ExtendedAttribute(name: "user.note".utf8, value: [1, 2, 3])))
            try [UInt8](repeating: 7, count: 5000).withUnsafeBytes { try encoder.data(offset: 4096, $0) }
            try encoder.leave()
            try encoder.symbolicLink(name("link"), metadata, target: Array("directory/file".utf8))
            try encoder.hardLink(name("hard"), to: path("directory/file"))
            try encoder.node(name("pipe"), metadata, kind: UInt32(S_IFIFO), device: 0)
        }
    }

    @Test("hostile streams touch nothing outside, and leave nothing") func hostile() async throws {
        try await withTemporaryDirectory { try await hostile(in: $0, DirectoryStorage()) }
    }

    @Test("received on btrfs, hostile and damaged streams touch nothing outside, and leave nothing")
    func btrfs() async throws {
        guard Requirements.isMet(geteuid() == 0, "mounting a btrfs file system needs root") else { return }
        try await withVolume("btrfs", mebibytes: 256, by: LocalTransport()) { volume in
            try await hostile(in: volume, BtrfsStorage())
            try FileTree.makeDirectory(volume.appending("damaged"))
            try await fuzzWhole(in: volume.appending("damaged"), BtrfsStorage(), seed: 4)
        }
    }

    private func hostile(in directory: FilePath, _ storage: some MachineStorage) async throws {
        let (canary, inbox) = (directory.appending("canary"), directory.appending("inbox"))
        try FileTree.makeDirectory(canary)
        try FileTree.makeDirectory(inbox)
        try FileTree.write("precious", to: canary.appending("file"))
        let target = Array(canary.string.utf8)
        let streams = try [
            "a directory by way of a link": Self.stream {
                try $0.symbolicLink(Self.name("l"), Self.metadata, target: target)
                try $0.enter(Self.name("l"), Self.metadata)
                try $0.file(Self.name("escaped"), Self.metadata, size: 0, base: nil)
                try $0.leave()
            },
            "a file over a link": Self.stream {
                try $0.symbolicLink(Self.name("l"), Self.metadata, target: target + Array("/file".utf8))
                try $0.file(Self.name("l"), Self.metadata, size: 0, base: nil)
            },
            "a second name of what is outside": Self.stream {
                try $0.symbolicLink(Self.name("l"), Self.metadata, target: target)
                try $0.hardLink(Self.name("mine"), to: Self.path("l/file"))
            },
            "a file on the base of nothing": Self.stream {
                let base = StreamRecord.FileBase(path: try Self.path("file"), size: 8, seconds: 0, nanoseconds: 0)
                try $0.file(Self.name("f"), Self.metadata, size: 8, base: base)
            },
            "data without a file": Self.stream { try $0.same(offset: 0, length: 4) },
            "data outside of the file": Self.stream { encoder in
                try encoder.file(Self.name("f"), Self.metadata, size: 4, base: nil)
                try [UInt8](repeating: 1, count: 5).withUnsafeBytes { try encoder.data(offset: 0, $0) }
            },
            "data that go back": Self.stream { encoder in
                try encoder.file(Self.name("f"), Self.metadata, size: 8, base: nil)
                for _ in 0..<2 {
                    try [UInt8](repeating: 1, count: 4).withUnsafeBytes { try encoder.data(offset: 0, $0) }
                }
            },
            "leaving the root": Self.stream { try $0.leave() },
            "a second root": Self.stream { try $0.enter(nil, Self.metadata) },
            "no end of depth": Self.stream { encoder in
                for _ in 0..<300 { try encoder.enter(Self.name("d"), Self.metadata) }
            },
            "no end of a directory's attributes, between its entries": Self.stream { encoder in
                let attribute = try #require(
                    ExtendedAttribute(name: "user.a".utf8, value: [UInt8](repeating: 1, count: 60_000))
                )
                for number in 0..<10 {
                    try encoder.enter(Self.name("d\(number)"), Self.metadata)
                    try encoder.leave()
                    try encoder.attribute(attribute)
                }
            },
            "no end of attributes in all, of directories in each other": Self.stream { encoder in
                let attribute = try #require(ExtendedAttribute(name: "user.a".utf8, value: []))
                for _ in 0..<10 {
                    try encoder.enter(Self.name("d"), Self.metadata)
                    for _ in 0..<10_000 { try encoder.attribute(attribute) }
                }
                for _ in 0..<10 { try encoder.leave() }
            },
            "the storage's own directory": Self.stream {
                try $0.enter(Self.name(".buildos-subvolumes"), Self.metadata)
                try $0.leave()
            },
        ]
        for (what, bytes) in streams.sorted(by: { $0.key < $1.key }) {
            try await expectRefused(bytes, what, inbox, storage)
        }
        for name in ["..", "a/", ".\0"] {
            // A sound stream with another name of the same length in it.
            let sound = try Self.stream { try $0.enter(Self.name("QQ"), Self.metadata) }
            let place = try #require(sound.firstRange(of: Array("QQ".utf8)))
            var bytes = sound
            bytes.replaceSubrange(place, with: Array(name.utf8))
            try await expectRefused(bytes, "the name \(name)", inbox, storage)
        }
        #expect(try FileTree.names(in: canary) == ["file"])
        #expect(try FileTree.readText(canary.appending("file")) == "precious")
    }

    @Test("a random change of a stream is refused, and touches nothing outside", arguments: 0..<4)
    func fuzzWhole(seed: UInt64) async throws {
        try await withTemporaryDirectory { try await fuzzWhole(in: $0, DirectoryStorage(), seed: seed) }
    }

    private func fuzzWhole(in directory: FilePath, _ storage: some MachineStorage, seed: UInt64) async throws {
        let sample = try Self.sample()
        var generator = TestSupport.SeededGenerator(seed: seed)
        let inbox = directory.appending("inbox")
        try FileTree.makeDirectory(inbox)
        for _ in 0..<60 {
            var bytes = sample
            for _ in 0...Int.random(in: 0...3, using: &generator) {
                let index = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes.insert(UInt8.random(in: .min ... .max, using: &generator), at: index)
                case 1: bytes.remove(at: index)
                default: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                }
            }
            guard bytes != sample else { continue }
            try await expectRefused(bytes, "seed \(seed)", inbox, storage)
        }
        #expect(try FileTree.names(in: directory) == ["inbox"])
        // What was changed was sound.
        let received = try await receive(sample, into: inbox, storage)
        #expect(try FileTree.names(in: received.path) == ["directory", "hard", "link", "pipe"])
        try await storage.delete(received.path)
    }

    @Test("no bytes crash the parser, and what it takes lies inside of them", arguments: 0..<8)
    func fuzzRecords(seed: UInt64) {
        var generator = TestSupport.SeededGenerator(seed: seed)
        let kinds = (0...255).compactMap { StreamRecord.Kind(rawValue: UInt8($0)) }
        for _ in 0..<4000 {
            var payload: [UInt8] = []
            for _ in 0..<Int.random(in: 0...8, using: &generator) {
                if Bool.random(using: &generator) {
                    let count = UInt32.random(in: 0...12, using: &generator)
                    withUnsafeBytes(of: count.littleEndian) { payload += $0 }
                }
                payload += (0..<Int.random(in: 0...12, using: &generator)).map { _ in
                    UInt8.random(in: .min ... .max, using: &generator)
                }
            }
            payload.withUnsafeBytes { payload in
                for kind in kinds {
                    guard let record = try? StreamRecord(kind, payload) else { continue }
                    if case .data(_, let range) = record { #expect(range.upperBound <= payload.count) }
                }
                _ = try? StreamRecord.head(UnsafeRawBufferPointer(rebasing: payload.prefix(StreamRecord.headLength)))
            }
        }
    }

    @Test("what crashed in the middle is cleared away by the next") func recovery() async throws {
        try await withTemporaryDirectory { directory in
            let storage = DirectoryStorage()
            try await storage.create(directory.appending("kept"))
            let hidden = directory.appending(SubvolumeTable.hiddenName)
            try FileTree.makeDirectory(hidden.appending("work.crashed/inner"))
            try FileTree.write("left", to: hidden.appending("work.crashed/inner/file"))
            try FileTree.write("buildos-subvolume 1\n", to: hidden.appending("of.gone"))
            try await storage.create(directory.appending("next"))
            #expect(try FileTree.names(in: hidden) == ["of.kept", "of.next"])
            for subvolume in try await storage.subvolumes(in: directory) { try await storage.delete(subvolume.path) }
            #expect(try FileTree.names(in: directory).isEmpty)
        }
    }

    @Test("a read-only subvolume can't be written by root where the file system has flags for that")
    func readOnly() async throws {
        guard Requirements.isMet(geteuid() == 0, "setting flags needs root") else { return }
        try await withVolume("ext4", mebibytes: 32, by: LocalTransport()) { volume in
            let storage = DirectoryStorage()
            let path = volume.appending("kept")
            try await storage.create(path)
            try FileTree.makeDirectory(path.appending("directory"))
            try FileTree.write("one", to: path.appending("directory/file"))
            try await storage.setReadOnly(true, path)
            #expect(open(path.appending("directory/file").string, O_WRONLY) < 0)
            #expect(throws: FileError.self) { try FileTree.write("new", to: path.appending("directory/new")) }
            #expect(rename(path.string, volume.appending("moved").string) < 0)
            try await storage.setReadOnly(false, path)
            try FileTree.write("two", to: path.appending("directory/file"))
        }
    }

    private func expectRefused(
        _ bytes: [UInt8],
        _ what: String,
        _ inbox: FilePath,
        _ storage: some MachineStorage
    ) async throws {
        await #expect("\(what)") { _ = try await receive(bytes, into: inbox, storage) } throws: { error in
            (error as? MachineStorageError)?.kind == .badStream
        }
        #expect(try FileTree.names(in: inbox).isEmpty, "\(what) left something")
    }

    private func receive(
        _ bytes: [UInt8],
        into inbox: FilePath,
        _ storage: some MachineStorage
    ) async throws -> Subvolume {
        try await withTemporaryDirectory { directory in
            let stream = directory.appending("stream")
            try FileTree.write(bytes, to: stream)
            let file = try FileDescriptor.open(stream, .readOnly, options: .closeOnExec)
            defer { try? file.close() }
            return try await storage.receive(from: file, into: inbox, progress: nil)
        }
    }
}
