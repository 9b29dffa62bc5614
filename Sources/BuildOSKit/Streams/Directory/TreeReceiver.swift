import Glibc

internal import CFiles

/// Makes a tree from a stream in an empty directory, and believes nothing that the stream says before its digest is right.
struct TreeReceiver {
    private let reader: StreamReader
    private let digest: StreamDigest
    private let begin: (DirectoryStream.Beginning) throws -> DirectoryStream.Target
    private var target: (maker: TreeMaker, parent: Int32)?
    private var base: Int32 = -1
    /// Where the next data of the current file may begin.
    private var position: UInt64 = 0

    /// Creates a receiver.
    ///
    /// - Parameter begin: called once, with what the stream is of, before anything is made.
    init(
        _ reader: StreamReader,
        begin: @escaping (DirectoryStream.Beginning) throws -> DirectoryStream.Target
    ) throws(StreamDefect) {
        guard let digest = StreamDigest() else { throw StreamDefect("libcrypto offers no SHA-256") }
        self.reader = reader
        self.digest = digest
        self.begin = begin
    }

    /// Reads the stream to its end, and not a byte further.
    ///
    /// - Throws: ``StreamDefect``, ``StreamFailure``, ``TreeProblem``, and what the closure throws.
    mutating func run() throws {
        defer { closeBase() }
        let size = StreamRecord.maximalPayload + StreamRecord.headLength
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
        defer { buffer.deallocate() }
        let magic = try fill(buffer, StreamRecord.magic.count)
        guard magic.elementsEqual(StreamRecord.magic) else { throw StreamDefect("it is no stream of a directory") }
        digest.update(magic)
        var head = try fill(buffer, StreamRecord.headLength)
        var (kind, length) = try StreamRecord.head(head)
        while kind != .end {
            digest.update(head)
            // With a record comes the head of the next, so that each costs one read.
            let bytes = try fill(buffer, length + StreamRecord.headLength)
            let payload = UnsafeRawBufferPointer(rebasing: bytes[..<length])
            digest.update(payload)
            try apply(StreamRecord(kind, payload), payload)
            head = UnsafeRawBufferPointer(rebasing: bytes[length...])
            (kind, length) = try StreamRecord.head(head)
        }
        digest.update(head)
        guard case .end(let expected) = try StreamRecord(.end, try fill(buffer, length)), expected == digest.finish()
        else { throw StreamDefect("its digest is wrong: it was damaged on its way") }
        guard let target, target.maker.isComplete else { throw StreamDefect("it ends before its tree does") }
        reader.finish()
    }

    private func fill(_ buffer: UnsafeMutableRawBufferPointer, _ count: Int) throws -> UnsafeRawBufferPointer {
        let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
        try reader.fill(part)
        return UnsafeRawBufferPointer(part)
    }

    private mutating func apply(_ record: StreamRecord, _ payload: UnsafeRawBufferPointer) throws {
        if case .begin(let beginning) = record {
            guard target == nil else { throw StreamDefect("it begins twice") }
            let place = try begin(beginning)
            target = (try TreeMaker(root: place.root.rawValue), place.parent?.rawValue ?? -1)
            return
        }
        guard let target else { throw StreamDefect("it has no beginning") }
        let maker = target.maker
        switch record {
        case .enter(let name, let metadata): try maker.enter(name, metadata)
        case .leave: try maker.leave()
        case .file(let name, let metadata, let size, let base):
            closeBase()
            position = 0
            _ = try maker.beginFile(name, metadata, size: Int64(size))
            if let base { self.base = try open(base, beneath: target.parent) }
        case .data(let offset, let range):
            let file = try advance(maker, offset, UInt64(range.count))
            try write(UnsafeRawBufferPointer(rebasing: payload[range]), to: file, at: offset)
        case .same(let offset, let length):
            let file = try advance(maker, offset, length)
            guard base >= 0 else { throw StreamDefect("a file has no base") }
            try problem(file.name, "copy") { () throws(Errno) in
                try FileRange(source: base, to: file.descriptor).copy(offset, offset, length)
            }
        case .attribute(let attribute): try maker.add(attribute)
        case .symbolicLink(let name, let metadata, let link): try maker.symbolicLink(name, metadata, target: link)
        case .hardLink(let name, let path): try maker.hardLink(name, to: path)
        case .node(let name, let metadata, let kind, let device):
            try maker.node(name, metadata, kind: mode_t(kind), device: device)
        case .begin, .end: break
        }
    }

    private typealias CurrentFile = (descriptor: Int32, size: Int64, name: EntryName)

    /// The file that data belong to, once their place is found to be right: inside, and after all that came before.
    private mutating func advance(_ maker: TreeMaker, _ offset: UInt64, _ length: UInt64) throws -> CurrentFile {
        guard let file = maker.current else { throw StreamDefect("data belong to no file") }
        guard offset >= position, length <= UInt64(file.size), offset <= UInt64(file.size) - length else {
            throw StreamDefect("data of '\(file.name)' are out of place")
        }
        position = offset + length
        return file
    }

    private func write(_ bytes: UnsafeRawBufferPointer, to file: CurrentFile, at offset: UInt64) throws {
        var (rest, place) = (bytes, off_t(offset))
        while !rest.isEmpty {
            let count = pwrite(file.descriptor, rest.baseAddress, rest.count, place)
            if count < 0, errno == EINTR { continue }
            try problem(file.name, "write") { () throws(Errno) in
                guard count > 0 else { throw Errno(rawValue: errno) }
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            place += off_t(count)
        }
    }

    /// The parent's file, if it is still what it was when the stream was made.
    private func open(_ base: StreamRecord.FileBase, beneath parent: Int32) throws -> Int32 {
        guard parent >= 0 else { throw StreamDefect("a file has a base, and the stream has none") }
        let place = cfiles_open_beneath(parent, base.path.terminated, 0)
        guard place >= 0 else { throw ChangedParent(path: base.path) }
        defer { close(place) }
        var status = stat()
        guard fstat(place, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw ChangedParent(path: base.path)
        }
        let metadata = EntryMetadata(status)
        guard UInt64(status.st_size) == base.size, metadata.seconds == base.seconds,
            metadata.nanoseconds == base.nanoseconds
        else { throw ChangedParent(path: base.path) }
        let opened = cfiles_open_place(place, O_RDONLY)
        guard opened >= 0 else {
            throw TreeProblem(
                operation: "open the parent's",
                path: base.path.description,
                reason: Errno(rawValue: errno)
            )
        }
        return opened
    }

    private mutating func closeBase() {
        if base >= 0 { close(base) }
        base = -1
    }

    private func problem(_ name: EntryName, _ operation: String, _ body: () throws(Errno) -> Void) throws {
        do throws(Errno) {
            try body()
        } catch {
            throw TreeProblem(operation: operation, path: name.description, reason: error)
        }
    }
}

/// A file of the parent isn't what it was when the stream was made.
struct ChangedParent: Error {
    let path: EntryPath
}
