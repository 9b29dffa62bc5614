import BuildOSKit
import Glibc
import Synchronization

/// Two revisions of a sample, where streams of them are kept, and where they are received.
struct StreamLab: Sendable {
    private let storage: any MachineStorage
    private let directory: FilePath
    private let format: String

    /// The revisions, read-only.
    var first: FilePath { directory.appending("first") }
    var second: FilePath { directory.appending("second") }
    /// The file with the stream that was sent last.
    var stream: FilePath { directory.appending("stream") }
    /// Where streams are received.
    var inbox: FilePath { directory.appending(Self.inboxName) }
    static let inboxName = "received"

    init(_ storage: any MachineStorage, _ directory: FilePath, format: String) {
        self.storage = storage
        self.directory = directory
        self.format = format
    }

    /// Bytes of the stream that was sent last.
    var streamSize: Int64 {
        var status = stat()
        return stat(stream.string, &status) == 0 ? Int64(status.st_size) : 0
    }

    /// Makes the two revisions, the second from the first.
    ///
    /// - Parameter extra: bytes of one more file.
    func makeRevisions(extra: Int = 0) async throws {
        let work = directory.appending("work")
        try FileTree.makeDirectory(inbox)
        try await storage.create(work)
        try SampleTree.make(in: work)
        if extra > 0 { try FileTree.write(SampleTree.bytes(extra, seed: 7), to: work.appending("extra")) }
        try await storage.snapshot(work, to: first, readOnly: true)
        try SampleTree.change(in: work)
        try await storage.snapshot(work, to: second, readOnly: true)
        try await storage.delete(work)
    }

    func request(_ subvolume: FilePath, parent: FilePath? = nil) -> SendRequest {
        SendRequest(subvolume, parent: parent, format: format)
    }

    /// Sends into the file.
    func send(
        _ subvolume: FilePath,
        parent: FilePath? = nil,
        append: Bool = false,
        progress: (@Sendable (Int64) -> Void)? = nil
    ) async throws {
        let file = try openStream(append: append)
        defer { try? file.close() }
        try await storage.send(request(subvolume, parent: parent), to: file, progress: progress)
    }

    func openStream(append: Bool) throws -> FileDescriptor {
        try FileDescriptor.open(
            stream,
            .writeOnly,
            options: [.create, append ? .append : .truncate, .closeOnExec],
            permissions: [.ownerReadWrite]
        )
    }

    /// Receives from the file.
    func receive(
        into directory: FilePath? = nil,
        progress: (@Sendable (Int64) -> Void)? = nil
    ) async throws -> Subvolume {
        let file = try FileDescriptor.open(stream, .readOnly, options: .closeOnExec)
        defer { try? file.close() }
        return try await storage.receive(from: file, into: directory ?? inbox, progress: progress)
    }

    /// Receives these bytes.
    func receive(bytes: ArraySlice<UInt8>) async throws -> Subvolume {
        let file = try openStream(append: false)
        try file.closeAfter { _ = try file.writeAll(bytes) }
        return try await receive()
    }

    /// Sends and receives.
    func carry(_ subvolume: FilePath, parent: FilePath? = nil) async throws -> Subvolume {
        try await send(subvolume, parent: parent)
        return try await receive()
    }

    /// The bytes of a stream of the first revision, which is then deleted.
    func sampleStream() async throws -> [UInt8] {
        try await makeRevisions()
        try await send(first)
        try await deleteSources()
        return try FileTree.read(stream, limit: 1 << 30)
    }

    func deleteSources() async throws {
        for path in [first, second] { try await storage.delete(path) }
    }

    /// Deletes all that was made.
    func clear() async throws {
        for place in [inbox, directory] {
            for subvolume in try await storage.subvolumes(in: place) { try await storage.delete(subvolume.path) }
        }
    }

    func requireSame(_ one: FilePath, _ other: FilePath) throws {
        let (expected, found) = (try SampleTree.listing(of: one), try SampleTree.listing(of: other))
        let missing = expected.filter { !found.contains($0) }
        let added = found.filter { !expected.contains($0) }
        try require(missing.isEmpty && added.isEmpty, "\(format): lacks \(missing), has \(added)")
    }

    func requireNothingReceived() throws {
        let left = try FileTree.names(in: inbox)
        try require(left.isEmpty, "left behind: \(left)")
    }

    /// Writes a file until there is no room for more.
    func fill(_ path: FilePath) throws {
        let file = try FileDescriptor.open(
            path,
            .writeOnly,
            options: [.create, .truncate, .closeOnExec],
            permissions: [.ownerReadWrite]
        )
        try file.closeAfter {
            // Ever smaller pieces, each down to the disk, as a file system may promise more room than it has.
            for size in [1 << 20, 64 << 10, 4 << 10] {
                let bytes = SampleTree.bytes(size, seed: UInt64(size))
                while (try? file.writeAll(bytes)) != nil, fsync(file.rawValue) == 0 {}
            }
        }
    }
}

/// Two descriptors, of which one reads what is written to the other.
final class StreamPair: Sendable {
    enum Kind { case pipe, socket }

    let reading: FileDescriptor
    let writing: FileDescriptor
    private let isReadingClosed = Atomic(false)
    private let isWritingClosed = Atomic(false)

    init(_ kind: Kind) throws {
        switch kind {
        case .pipe:
            let ends = try FileDescriptor.pipe()
            (reading, writing) = (ends.readEnd, ends.writeEnd)
        case .socket:
            var ends: [Int32] = [-1, -1]
            guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else { throw Errno(rawValue: errno) }
            (reading, writing) = (FileDescriptor(rawValue: ends[0]), FileDescriptor(rawValue: ends[1]))
        }
    }

    deinit {
        closeReading()
        closeWriting()
    }

    /// Starts to send, and closes the writing end when that has ended, however it did: readers then see an end.
    func send(_ body: @escaping @Sendable (FileDescriptor) async throws -> Void) -> Task<Void, any Error> {
        Task {
            defer { closeWriting() }
            try await body(writing)
        }
    }

    /// Waits for a first few bytes: what writes has begun.
    func readSome() async throws {
        let reading = reading
        let count = try await DedicatedThread.run(name: "reader") { () throws in
            var bytes = [UInt8](repeating: 0, count: 16)
            return try bytes.withUnsafeMutableBytes { try reading.read(into: $0) }
        }
        try require(count > 0, "nothing was written")
    }

    private func closeWriting() {
        if !isWritingClosed.exchange(true, ordering: .relaxed) { try? writing.close() }
    }

    func closeReading() {
        if !isReadingClosed.exchange(true, ordering: .relaxed) { try? reading.close() }
    }
}
