import BuildOSKit
import Glibc
import LocalTransport
import TestSupport
import Testing

@testable import BtrfsStorage

/// Streams put together by hand, and by btrfs-progs.
@Suite("MACH-2, MACH-3: btrfs streams") struct BtrfsStreamTests {
    /// A command with its attributes, as the kernel would write it.
    private static func command(_ code: UInt16, _ attributes: [(AttributeCode, [UInt8])]) -> [UInt8] {
        let body = attributes.flatMap { code, value in
            bytes(code.rawValue) + bytes(UInt16(value.count)) + value
        }
        let head = bytes(UInt32(body.count)) + bytes(code)
        return head + bytes(checksum(head + [0, 0, 0, 0] + body)) + body
    }

    private static func command(_ code: CommandCode, _ attributes: (AttributeCode, [UInt8])...) -> [UInt8] {
        command(code.rawValue, attributes)
    }

    private static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    private static func checksum(_ bytes: [UInt8]) -> UInt32 {
        bytes.reduce(0) { value, byte in
            (0..<8).reduce(value ^ UInt32(byte)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0x82f6_3b78 : value >> 1 }
        }
    }

    private static func path(_ text: String) -> (AttributeCode, [UInt8]) { (.path, Array(text.utf8)) }

    private static let head = Array("btrfs-stream\0".utf8) + bytes(UInt32(1))
    private static let begin = command(
        .subvolume,
        path("new"),
        (.uuid, Array(1...16)),
        (.transaction, bytes(UInt64(7)))
    )
    private static let end = command(.end)
    private static func file(_ name: String) -> [UInt8] { command(.makeFile, path(name), (.uuid, [])) }
    private static func link(_ name: String, to target: String) -> [UInt8] {
        command(.makeLink, path(name), (.linkedPath, Array(target.utf8)))
    }
    private static func write(_ name: String) -> [UInt8] {
        command(.write, path(name), (.offset, bytes(UInt64(0))), (.data, Array("overwritten".utf8)))
    }

    /// What must be refused, by what it tries. `CANARY` is a directory outside with a file `file`.
    private static func hostile(_ canary: String) -> [(String, [UInt8])] {
        [
            ("a path that goes up", file("../escaped")),
            ("an absolute path", file("\(canary)/escaped")),
            ("a file by way of a link", link("l", to: canary) + file("l/escaped")),
            ("writing by way of a link", link("l", to: canary) + write("l/file")),
            ("writing to what a link points to", link("l", to: "\(canary)/file") + write("l")),
            (
                "a mode by way of a link",
                link("l", to: "\(canary)/file") + command(.changeMode, path("l"), (.mode, bytes(UInt64(0o777))))
            ),
            (
                "renaming out", file("f") + command(.rename, path("f"), (.newPath, Array("../f".utf8)))
            ),
            (
                "renaming out by way of a link",
                link("l", to: canary) + file("f") + command(.rename, path("f"), (.newPath, Array("l/f".utf8)))
            ),
            (
                "a second name of what is outside",
                link("l", to: canary) + command(.link, path("mine"), (.linkedPath, Array("l/file".utf8)))
            ),
            ("removing by way of a link", link("l", to: canary) + command(.unlink, path("l/file"))),
            (
                "writing to a device",
                command(.makeNode, path("null"), (.mode, bytes(UInt64(0o020666))), (.device, bytes(UInt64(0x103))))
                    + write("null")
            ),
            (
                "taking from another subvolume",
                file("f")
                    + command(
                        .clone,
                        path("f"),
                        (.offset, bytes(UInt64(0))),
                        (.cloneUUID, [UInt8](repeating: 9, count: 16)),
                        (.cloneTransaction, bytes(UInt64(1))),
                        (.clonePath, Array("secret".utf8)),
                        (.cloneOffset, bytes(UInt64(0))),
                        (.cloneLength, bytes(UInt64(4096)))
                    )
            ),
            ("a second subvolume", begin),
            ("an unknown command", command(99, [])),
        ]
    }

    @Test("hostile streams touch nothing outside, and leave nothing") func hostileStreams() async throws {
        try await onVolume { volume, storage in
            let (canary, inbox) = (volume.appending("canary"), volume.appending("inbox"))
            try FileTree.makeDirectory(canary)
            try FileTree.makeDirectory(inbox)
            try FileTree.write("precious", to: canary.appending("file"))
            for (what, commands) in Self.hostile(canary.string) {
                let stream = Self.head + Self.begin + commands + Self.end
                await #expect("\(what)") { _ = try await receive(stream, into: inbox, storage) } throws: { error in
                    (error as? MachineStorageError)?.kind == .badStream
                }
                #expect(try FileTree.names(in: inbox).isEmpty, "\(what) left something")
            }
            for name in ["..", ".", "", "a/b", "/abs"] {
                let begin = Self.command(
                    .subvolume,
                    Self.path(name),
                    (.uuid, Array(1...16)),
                    (.transaction, Self.bytes(UInt64(7)))
                )
                await #expect("'\(name)'") {
                    _ = try await receive(Self.head + begin + Self.end, into: inbox, storage)
                } throws: { ($0 as? MachineStorageError)?.kind == .badStream }
            }
            #expect(try FileTree.names(in: canary) == ["file"])
            #expect(try FileTree.readText(canary.appending("file")) == "precious")
            // The builder's streams are refused for what they try, and not for how they are made.
            let sound = Self.head + Self.begin + Self.file("f") + Self.write("f") + Self.link("l", to: "f") + Self.end
            let received = try await receive(sound, into: inbox, storage)
            #expect(try FileTree.readText(received.path.appending("l")) == "overwritten")
            #expect(received.receivedUUID == "01020304-0506-0708-090a-0b0c0d0e0f10")
        }
    }

    @Test("what btrfs-progs send is received, and what is sent they receive") func programs() async throws {
        try await onVolume { volume, storage in
            let transport = LocalTransport()
            try await storage.create(volume.appending("work"))
            try FileTree.write(String(repeating: "text ", count: 100_000), to: volume.appending("work/file"))
            try await storage.snapshot(volume.appending("work"), to: volume.appending("one"), readOnly: true)
            try FileTree.write("more", to: volume.appending("work/other"))
            try await storage.snapshot(volume.appending("work"), to: volume.appending("two"), readOnly: true)
            let (ours, theirs) = (volume.appending("ours"), volume.appending("theirs"))
            for inbox in [ours, theirs] { try FileTree.makeDirectory(inbox) }
            for (name, parent) in [("one", nil), ("two", "one")] {
                let stream = volume.appending("stream")
                let base = parent.map { ["-p", volume.appending($0).string] } ?? []
                try await transport.check(
                    Command("btrfs", ["-q", "send"] + base + ["-f", stream.string, volume.appending(name).string])
                )
                _ = try await receive(try FileTree.read(stream, limit: 1 << 24), into: ours, storage)
                let file = try FileDescriptor.open(stream, .writeOnly, options: [.truncate, .closeOnExec])
                try await storage.send(
                    SendRequest(volume.appending(name), parent: parent.map(volume.appending), format: "btrfs-1"),
                    to: file,
                    progress: nil
                )
                try file.close()
                try await transport.check(Command("btrfs", ["-q", "receive", "-f", stream.string, theirs.string]))
            }
            for inbox in [ours, theirs] {
                try await transport.check(
                    Command("diff", ["-r", volume.appending("two").string, inbox.appending("two").string])
                )
            }
            let (own, other) = (
                try await storage.subvolume(at: ours.appending("two")),
                try await storage.subvolume(at: theirs.appending("two"))
            )
            #expect(own.receivedUUID == other.receivedUUID)
            #expect(own.isReadOnly && other.isReadOnly)
        }
    }

    @Test("BACK-1: data that is stored compressed is sent compressed") func compressed() async throws {
        try await onVolume { volume, storage in
            guard Requirements.isMet(storage.capabilities.compressedSend, "the kernel sends no compressed data") else {
                return
            }
            let work = volume.appending("work")
            try await storage.create(work)
            try await LocalTransport().check(Command("btrfs", ["property", "set", work.string, "compression", "zstd"]))
            try FileTree.write(String(repeating: "compressible ", count: 400_000), to: work.appending("file"))
            try await storage.snapshot(work, to: volume.appending("sent"), readOnly: true)
            try FileTree.makeDirectory(volume.appending("inbox"))
            var sizes: [String: Int] = [:]
            for format in ["btrfs-1", "btrfs-2"] {
                let stream = volume.appending(format)
                let file = try FileDescriptor.open(
                    stream,
                    .writeOnly,
                    options: [.create, .closeOnExec],
                    permissions: .ownerReadWrite
                )
                let request = SendRequest(volume.appending("sent"), format: format)
                try await storage.send(request, to: file, progress: nil)
                try file.close()
                let bytes = try FileTree.read(stream, limit: 1 << 24)
                sizes[format] = bytes.count
                let received = try await receive(bytes, into: volume.appending("inbox"), storage)
                #expect(
                    try FileTree.read(received.path.appending("file"), limit: 1 << 24)
                        == FileTree.read(work.appending("file"), limit: 1 << 24)
                )
                try await storage.delete(received.path)
            }
            #expect(sizes["btrfs-2", default: .max] * 4 < sizes["btrfs-1", default: 0], "\(sizes)")
        }
    }

    @Test("a file whose flags have changed is sent as a difference") func flags() async throws {
        try await onVolume { volume, storage in
            let (work, inbox) = (volume.appending("work"), volume.appending("inbox"))
            try await storage.create(work)
            try FileTree.makeDirectory(inbox)
            try FileTree.write("kept", to: work.appending("file"))
            try await storage.snapshot(work, to: volume.appending("first"), readOnly: true)
            try await LocalTransport().check(
                Command("btrfs", ["property", "set", work.appending("file").string, "compression", "zstd"])
            )
            try FileTree.write("new", to: work.appending("other"))
            try await storage.snapshot(work, to: volume.appending("second"), readOnly: true)
            for (name, parent) in [("first", nil), ("second", "first")] {
                let stream = volume.appending("\(name).stream")
                let file = try FileDescriptor.open(
                    stream,
                    .writeOnly,
                    options: [.create, .closeOnExec],
                    permissions: .ownerReadWrite
                )
                let base = parent.map { volume.appending($0) }
                try await storage.send(SendRequest(volume.appending(name), parent: base), to: file, progress: nil)
                try file.close()
                _ = try await receive(try FileTree.read(stream, limit: 1 << 24), into: inbox, storage)
            }
            #expect(try FileTree.readText(inbox.appending("second/file")) == "kept")
            #expect(try FileTree.readText(inbox.appending("second/other")) == "new")
        }
    }

    @Test("no bytes crash the parser, and what it takes lies inside of them", arguments: 0..<8)
    func fuzz(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let samples = Self.hostile("/canary").map { Array($0.1.dropFirst(CommandHead.length)) } + [Self.begin, []]
        for _ in 0..<4000 {
            var body = samples[Int.random(in: 0..<samples.count, using: &generator)]
            for _ in 0..<Int.random(in: 0...6, using: &generator) {
                let byte = UInt8.random(in: .min ... .max, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: body.insert(byte, at: Int.random(in: 0...body.count, using: &generator))
                case 1 where !body.isEmpty: body.remove(at: Int.random(in: 0..<body.count, using: &generator))
                default: if let index = body.indices.randomElement(using: &generator) { body[index] = byte }
                }
            }
            let code = UInt16.random(in: 0..<30, using: &generator)
            let head = Self.bytes(UInt32(body.count)) + Self.bytes(code) + [0, 0, 0, 0]
            body.withUnsafeBytes { body in
                for version: UInt32 in [1, 2] {
                    guard let head = try? head.withUnsafeBytes({ try CommandHead($0) }),
                        let command = try? StreamCommand(head, body, version: version)
                    else { continue }
                    Self.expectInside(command, body.count)
                }
            }
            body.withUnsafeBytes { _ = try? StreamHead($0) }
            body.prefix(10).withUnsafeBytes { _ = try? CommandHead($0) }
        }
    }

    private static func expectInside(_ command: StreamCommand, _ count: Int) {
        switch command {
        case .write(let path, _, let range), .writeEncoded(let path, _, let range, _),
            .setAttribute(let path, _, let range):
            #expect(range.lowerBound >= 0 && range.upperBound <= count)
            #expect(path.isRoot || !path.description.split(separator: "/").contains(".."))
        case .begin(let name, _, _): #expect(!name.contains("/") && name != ".." && !name.isEmpty)
        default: break
        }
    }

    private func receive(_ bytes: [UInt8], into inbox: FilePath, _ storage: BtrfsStorage) async throws -> Subvolume {
        try await withTemporaryDirectory { directory in
            let stream = directory.appending("stream")
            try FileTree.write(bytes, to: stream)
            let file = try FileDescriptor.open(stream, .readOnly, options: .closeOnExec)
            defer { try? file.close() }
            return try await storage.receive(from: file, into: inbox, progress: nil)
        }
    }

    private func onVolume(_ body: (FilePath, BtrfsStorage) async throws -> Void) async throws {
        guard Requirements.isMet(geteuid() == 0, "mounting a file system needs root") else { return }
        try await withVolume("btrfs", mebibytes: 256, by: LocalTransport()) { try await body($0, BtrfsStorage()) }
    }
}
