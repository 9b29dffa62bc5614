import BuildOSKit
import Glibc
import Synchronization

/// What every ``BuildOSKit/MachineStorage`` that can send and receive must do.
extension MachineStorageSuite {
    var streams: [ConformanceCheck] { carrying + endings + damages }

    private var carrying: [ConformanceCheck] {
        [
            check("what is sent and received is the same, read-only, and knows what it was received from") {
                directory in
                for format in try formats() {
                    let lab = StreamLab(storage, directory, format: format)
                    try await lab.makeRevisions()
                    let received = try await lab.carry(lab.first)
                    try require(received.path == lab.inbox.appending("first"), "it is at \(received.path)")
                    try require(received.isReadOnly, "it is writable")
                    let identity = try await storage.subvolume(at: lab.first).uuid
                    try require(identity != nil, "the sent one has no identity")
                    try require(
                        received.receivedUUID == identity,
                        "it was received from \(received.receivedUUID ?? "nothing")"
                    )
                    try lab.requireSame(lab.first, received.path)
                    try await lab.clear()
                }
            },
            check("a difference carries less, and makes the same; parents stay as they are") { directory in
                for format in try formats(incremental: true) {
                    let lab = StreamLab(storage, directory, format: format)
                    try await lab.makeRevisions()
                    let base = try await lab.carry(lab.first)
                    let whole = lab.streamSize
                    // Policy makes what is used from what was received, and changes that.
                    try await storage.snapshot(base.path, to: directory.appending("used"), readOnly: false)
                    try FileTree.write("changed", to: directory.appending("used/small"))
                    let received = try await lab.carry(lab.second, parent: lab.first)
                    try require(lab.streamSize * 4 < whole, "\(lab.streamSize) bytes of \(whole)")
                    try lab.requireSame(lab.second, received.path)
                    try lab.requireSame(lab.first, base.path)
                    try await lab.clear()
                }
            },
            check("what was received can be sent on") { directory in
                let lab = StreamLab(storage, directory, format: try formats()[0])
                try await lab.makeRevisions()
                let received = try await lab.carry(lab.first)
                try await storage.delete(lab.first)
                try await lab.send(received.path)
                let other = directory.appending("other")
                try FileTree.makeDirectory(other)
                let again = try await lab.receive(into: other)
                try lab.requireSame(received.path, again.path)
                try await storage.delete(again.path)
            },
            check("progress grows up to the size of the stream, sending and receiving") { directory in
                let lab = StreamLab(storage, directory, format: try formats()[0])
                try await lab.makeRevisions()
                let (sent, received) = (Counts(), Counts())
                try await lab.send(lab.first, progress: sent.add)
                _ = try await lab.receive(progress: received.add)
                for (name, counts) in [("sent", sent.all), ("received", received.all)] {
                    try require(counts == counts.sorted() && counts.count == Set(counts).count, "\(name): \(counts)")
                    try require(counts.last == lab.streamSize, "\(name) \(counts.last ?? 0) of \(lab.streamSize)")
                }
            },
            check("a stream is read to its end and no further, without waiting for the end of the file") { directory in
                let lab = StreamLab(storage, directory, format: try formats()[0])
                try await lab.makeRevisions()
                try await lab.send(lab.first)
                let first = lab.streamSize
                try await lab.send(lab.second, append: true)
                let file = try FileDescriptor.open(lab.stream, .readOnly, options: .closeOnExec)
                defer { try? file.close() }
                try lab.requireSame(
                    lab.first,
                    try await storage.receive(from: file, into: lab.inbox, progress: nil).path
                )
                try require(try file.seek(offset: 0, from: .current) == first, "it was read on")
                try lab.requireSame(
                    lab.second,
                    try await storage.receive(from: file, into: lab.inbox, progress: nil).path
                )
            },
            check("a stream goes through a socket as through a pipe") { directory in
                let lab = StreamLab(storage, directory, format: try formats()[0])
                try await lab.makeRevisions()
                for kind in [StreamPair.Kind.pipe, .socket] {
                    let pair = try StreamPair(kind)
                    let sending = pair.send { try await storage.send(lab.request(lab.first), to: $0, progress: nil) }
                    let received = try await storage.receive(from: pair.reading, into: lab.inbox, progress: nil)
                    try await sending.value
                    try lab.requireSame(lab.first, received.path)
                    try await storage.delete(lab.inbox.appending("first"))
                }
            },
        ]
    }

    private var endings: [ConformanceCheck] {
        [
            check("what can't be sent is refused") { directory in
                let lab = StreamLab(storage, directory, format: try formats()[0])
                try await lab.makeRevisions()
                try await storage.create(directory.appending("writable"))
                try FileTree.makeDirectory(directory.appending("plain"))
                try await expect(.writable) { try await lab.send(directory.appending("writable")) }
                try await expect(.notASubvolume) { try await lab.send(directory.appending("plain")) }
                try await expect(.notFound) { try await lab.send(directory.appending("missing")) }
                try await expect(.notFound) { try await lab.send(lab.first, parent: directory.appending("missing")) }
                try await expect(.writable) { try await lab.send(lab.first, parent: directory.appending("writable")) }
                let unknown = SendRequest(lab.first, format: "no-such-format")
                let sink = try lab.openStream(append: false)
                defer { try? sink.close() }
                try await expect(.unsupported) { try await storage.send(unknown, to: sink, progress: nil) }
            },
            check("nothing is received over what is there, or where nothing is") { directory in
                let lab = StreamLab(storage, directory, format: try formats()[0])
                try await lab.makeRevisions()
                let received = try await lab.carry(lab.first)
                try await expect(.alreadyExists) { _ = try await lab.receive() }
                try lab.requireSame(lab.first, received.path)
                try await storage.delete(received.path)
                try FileTree.write("plain", to: lab.inbox.appending("first"))
                try await expect(.alreadyExists) { _ = try await lab.receive() }
                try require(try FileTree.readText(lab.inbox.appending("first")) == "plain", "the file is another")
                try FileTree.remove(lab.inbox.appending("first"))
                try await expect(.notFound) { _ = try await lab.receive(into: directory.appending("missing")) }
            },
            check("a difference to what isn't here, or was changed, is refused and leaves nothing") { directory in
                let lab = StreamLab(storage, directory, format: try formats(incremental: true)[0])
                try await lab.makeRevisions()
                let base = try await lab.carry(lab.first)
                try await lab.send(lab.second, parent: lab.first)
                try await lab.deleteSources()
                try await storage.setReadOnly(false, base.path)
                try FileTree.write("changed", to: base.path.appending("small"))
                try await storage.setReadOnly(true, base.path)
                try await expect(.noParent) { _ = try await lab.receive() }
                try await storage.delete(base.path)
                try await expect(.noParent) { _ = try await lab.receive() }
                try lab.requireNothingReceived()
            },
            check("a reader that goes away ends sending") { directory in
                let lab = StreamLab(storage, directory, format: try formats()[0])
                try await lab.makeRevisions()
                for kind in [StreamPair.Kind.pipe, .socket] {
                    let pair = try StreamPair(kind)
                    let sending = pair.send { try await storage.send(lab.request(lab.first), to: $0, progress: nil) }
                    try await pair.readSome()
                    pair.closeReading()
                    do {
                        try await sending.value
                        throw ConformanceFailure("it was sent")
                    } catch let error as MachineStorageError {
                        try require(error.kind == .streamClosed, "\(error.kind): \(error)")
                    }
                }
            },
            check("sending is cancelled though nobody reads") { directory in
                let lab = StreamLab(storage, directory, format: try formats()[0])
                try await lab.makeRevisions()
                for kind in [StreamPair.Kind.pipe, .socket] {
                    let pair = try StreamPair(kind)
                    let sending = pair.send { try await storage.send(lab.request(lab.first), to: $0, progress: nil) }
                    try await pair.readSome()
                    sending.cancel()
                    try await expect(.cancelled) { try await sending.value }
                }
            },
            check("receiving is cancelled though nothing comes, and leaves nothing") { directory in
                let lab = StreamLab(storage, directory, format: try formats()[0])
                try await lab.makeRevisions()
                try await lab.send(lab.first)
                let pair = try StreamPair(.pipe)
                let (begun, beginning) = AsyncStream<Void>.makeStream()
                let receiving = Task {
                    try await storage.receive(from: pair.reading, into: lab.inbox) { _ in beginning.yield() }
                }
                // More than a megabyte, of which progress tells.
                let bytes = try FileTree.read(lab.stream, limit: 1 << 30)
                _ = try await DedicatedThread.run(name: "writer") { () throws in
                    try pair.writing.writeAll(bytes.prefix(bytes.count - 10))
                }
                for await _ in begun { break }
                receiving.cancel()
                try await expect(.cancelled) { _ = try await receiving.value }
                try lab.requireNothingReceived()
            },
            check("a full disk ends receiving, and leaves nothing") { directory in
                let lab = StreamLab(storage, directory, format: try formats()[0])
                guard try await storage.space(of: directory).available < 1 << 30 else {
                    throw ConformanceSkip(
                        "filling \(directory) to the brim takes a volume with less than 1 GiB of room"
                    )
                }
                try await lab.makeRevisions(extra: 8 << 20)
                try await lab.send(lab.first)
                let filler = directory.appending("filler")
                try lab.fill(filler)
                defer { try? FileTree.remove(filler) }
                try await expect(.noSpace) { _ = try await lab.receive() }
                try lab.requireNothingReceived()
            },
        ]
    }

    private var damages: [ConformanceCheck] {
        [
            check("a stream that is cut off is refused and leaves nothing") { directory in
                let lab = StreamLab(storage, directory, format: try formats()[0])
                let bytes = try await lab.sampleStream()
                var generator = Sequence64(state: 4)
                var cuts = [0, 1, 12, 17, 22, 40, bytes.count - 1, bytes.count - 5, bytes.count - 11]
                for _ in 0..<16 { cuts.append(Int.random(in: 0..<bytes.count, using: &generator)) }
                for cut in cuts {
                    try await expect(.badStream, "cut at \(cut) of \(bytes.count)") {
                        _ = try await lab.receive(bytes: bytes.prefix(cut))
                    }
                    try lab.requireNothingReceived()
                }
            },
            check("a bit that is turned over is found, and leaves nothing") { directory in
                let lab = StreamLab(storage, directory, format: try formats()[0])
                let bytes = try await lab.sampleStream()
                var generator = Sequence64(state: 5)
                var places = [0, 13, 17, 18, 21, 23, 25, 30, 40, bytes.count - 1, bytes.count - 8]
                for _ in 0..<30 { places.append(Int.random(in: 0..<bytes.count, using: &generator)) }
                for place in places {
                    var damaged = bytes
                    damaged[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                    try await expect(.badStream, "at \(place) of \(bytes.count)") {
                        _ = try await lab.receive(bytes: damaged[...])
                    }
                    try lab.requireNothingReceived()
                }
            },
            check("what is no stream is refused") { directory in
                let lab = StreamLab(storage, directory, format: try formats()[0])
                try FileTree.makeDirectory(lab.inbox)
                for bytes in [
                    [], Array("<html>not found</html>".utf8), [UInt8](repeating: 0, count: 70_000),
                    SampleTree.bytes(70_000, seed: 6),
                ] {
                    try await expect(.badStream) { _ = try await lab.receive(bytes: bytes[...]) }
                    try lab.requireNothingReceived()
                }
            },
        ]
    }

    /// The formats that it can both send and receive.
    private func formats(incremental: Bool = false) throws -> [String] {
        let formats = storage.capabilities.sends.filter(storage.capabilities.receives.contains)
        guard !formats.isEmpty else { throw ConformanceSkip(notOffered: "sends") }
        guard !incremental || storage.capabilities.incrementalSend else {
            throw ConformanceSkip(notOffered: "incremental-send")
        }
        return formats
    }
}

/// The numbers that a progress closure was called with.
private final class Counts: Sendable {
    private let counts = Mutex<[Int64]>([])
    var all: [Int64] { counts.withLock { $0 } }
    @Sendable func add(_ count: Int64) { counts.withLock { $0.append(count) } }
}
