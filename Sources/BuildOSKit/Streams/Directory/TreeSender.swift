import Glibc

internal import CFiles

/// Writes a tree as a stream; on the base of a parent, only what differs from it. That is told by comparing the files
/// themselves, as a time says too little; a file that was moved is known by its size and time, and then compared.
struct TreeSender: TreeVisitor {
    private let encoder: StreamEncoder
    private let stop: StopSignal
    private let parent: ParentFiles?

    /// Creates a visitor.
    ///
    /// - Parameter parent: the open root of the parent; `nil` to send everything.
    init(
        _ encoder: StreamEncoder,
        parent: Int32?,
        stop: StopSignal,
        passingOver foreign: @escaping (Int32) -> Set<EntryName>
    ) throws {
        self.encoder = encoder
        self.stop = stop
        self.parent = try parent.map { try ParentFiles(root: $0, stop: stop, foreign) }
    }

    func enter(_ name: EntryName?, _ metadata: EntryMetadata, _ attributes: [ExtendedAttribute]) throws {
        try encoder.enter(name, metadata)
        for attribute in attributes { try encoder.attribute(attribute) }
    }

    func leave() throws { try encoder.leave() }

    func symbolicLink(_ name: EntryName, _ metadata: EntryMetadata, target: [UInt8]) throws {
        try encoder.symbolicLink(name, metadata, target: target)
    }

    func hardLink(_ name: EntryName, to path: EntryPath) throws { try encoder.hardLink(name, to: path) }

    func node(_ name: EntryName, _ metadata: EntryMetadata, kind: mode_t, device: UInt64) throws {
        try encoder.node(name, metadata, kind: UInt32(kind), device: device)
    }

    func file(
        _ name: EntryName,
        _ metadata: EntryMetadata,
        _ attributes: [ExtendedAttribute],
        content: Int32,
        size: Int64,
        at path: EntryPath
    ) throws {
        let base = try parent?.base(for: path, metadata, size: size)
        defer { if let base { close(base.descriptor) } }
        try encoder.file(name, metadata, size: UInt64(size), base: base?.file)
        for attribute in attributes { try encoder.attribute(attribute) }
        var comparison = FileComparison(encoder, base: base?.descriptor ?? -1)
        var position: UInt64 = 0
        while position < UInt64(size) {
            var (start, end): (UInt64, UInt64) = (0, 0)
            let found = cfiles_next_data(content, position, &start, &end)
            guard found >= 0 else { throw problem(path, Errno(rawValue: errno)) }
            guard found > 0, start < UInt64(size) else { break }
            position = start
            end = min(end, UInt64(size))
            while position < end {
                if stop.isRaised { throw StreamFailure.stopped }
                let count = try comparison.put(content, at: position, upTo: end)
                guard count > 0 else { throw problem(path, .ioError) }
                position += UInt64(count)
            }
        }
        try comparison.finish()
    }

    private func problem(_ path: EntryPath, _ reason: Errno) -> TreeProblem {
        TreeProblem(operation: "read", path: path.description, reason: reason)
    }
}

/// The files of a parent, as bases of files of its successor.
private struct ParentFiles {
    private struct Mark: Hashable {
        let size: Int64
        let seconds: Int64
        let nanoseconds: UInt32
    }

    private let root: Int32
    /// By size and time, for files that were moved; small ones are sent again.
    private let moved: [Mark: EntryPath]

    init(root: Int32, stop: StopSignal, _ foreign: @escaping (Int32) -> Set<EntryName>) throws {
        self.root = root
        var walker = TreeWalker(Collector(), stop: stop, passingOver: foreign)
        try walker.walk(root)
        moved = walker.visitor.files
    }

    /// The parent's file of the same path, or one that has the same size and time; open for reading.
    func base(
        for path: EntryPath,
        _ metadata: EntryMetadata,
        size: Int64
    ) throws -> (descriptor: Int32, file: StreamRecord.FileBase)? {
        if let found = open(path) { return found }
        let mark = Mark(size: size, seconds: metadata.seconds, nanoseconds: metadata.nanoseconds)
        return moved[mark].flatMap(open)
    }

    private func open(_ path: EntryPath) -> (descriptor: Int32, file: StreamRecord.FileBase)? {
        let place = cfiles_open_beneath(root, path.terminated, 0)
        guard place >= 0 else { return nil }
        defer { close(place) }
        var status = stat()
        guard fstat(place, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        let opened = cfiles_open_place(place, O_RDONLY)
        guard opened >= 0 else { return nil }
        let metadata = EntryMetadata(status)
        return (
            opened,
            StreamRecord.FileBase(
                path: path,
                size: UInt64(status.st_size),
                seconds: metadata.seconds,
                nanoseconds: metadata.nanoseconds
            )
        )
    }

    private struct Collector: TreeVisitor {
        var files: [Mark: EntryPath] = [:]

        mutating func file(
            _ name: EntryName,
            _ metadata: EntryMetadata,
            _ attributes: [ExtendedAttribute],
            content: Int32,
            size: Int64,
            at path: EntryPath
        ) {
            guard size >= 4096 else { return }
            files[Mark(size: size, seconds: metadata.seconds, nanoseconds: metadata.nanoseconds)] = path
        }
        func enter(_ name: EntryName?, _ metadata: EntryMetadata, _ attributes: [ExtendedAttribute]) {}
        func leave() {}
        func symbolicLink(_ name: EntryName, _ metadata: EntryMetadata, target: [UInt8]) {}
        func hardLink(_ name: EntryName, to path: EntryPath) {}
        func node(_ name: EntryName, _ metadata: EntryMetadata, kind: mode_t, device: UInt64) {}
    }
}

/// Puts the data of one file into a stream, and leaves out what its base has at the same place.
private struct FileComparison {
    private static let blockLength = 4096
    private static let pieceLength = StreamRecord.maximalData

    private let encoder: StreamEncoder
    /// Negative if there is none.
    private let base: Int32
    private let piece: Buffer
    private let basePiece: Buffer
    private var same: Range<UInt64> = 0..<0

    /// Memory that is given back with its owner.
    private final class Buffer {
        let bytes: UnsafeMutableRawBufferPointer
        init(_ count: Int) { bytes = .allocate(byteCount: count, alignment: FileComparison.blockLength) }
        deinit { bytes.deallocate() }
    }

    init(_ encoder: StreamEncoder, base: Int32) {
        self.encoder = encoder
        self.base = base
        piece = Buffer(Self.pieceLength)
        basePiece = Buffer(base < 0 ? Self.blockLength : Self.pieceLength)
    }

    /// Puts data from a position on.
    ///
    /// - Returns: how many bytes were dealt with; 0 if there are none, negative if reading failed.
    mutating func put(_ content: Int32, at position: UInt64, upTo end: UInt64) throws -> Int {
        let wanted = Int(min(UInt64(Self.pieceLength), end - position))
        let count = pread(content, piece.bytes.baseAddress, wanted, off_t(position))
        guard count > 0 else { return count }
        let bytes = UnsafeRawBufferPointer(rebasing: piece.bytes[..<count])
        guard base >= 0 else {
            try encoder.data(offset: position, bytes)
            return count
        }
        let baseCount = max(0, pread(base, basePiece.bytes.baseAddress, count, off_t(position)))
        let baseBytes = UnsafeRawBufferPointer(rebasing: basePiece.bytes[..<baseCount])
        var differing = 0..<0
        for start in stride(from: 0, to: count, by: Self.blockLength) {
            let block = start..<min(start + Self.blockLength, count)
            if Self.isEqual(bytes, baseBytes, block) {
                try put(bytes, differing, at: position)
                differing = block.upperBound..<block.upperBound
                try extend(position + UInt64(start)..<position + UInt64(block.upperBound))
            } else {
                differing = (differing.isEmpty ? start : differing.lowerBound)..<block.upperBound
            }
        }
        try put(bytes, differing, at: position)
        return count
    }

    /// Puts what is left.
    mutating func finish() throws {
        if !same.isEmpty { try encoder.same(offset: same.lowerBound, length: UInt64(same.count)) }
        same = 0..<0
    }

    private mutating func put(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, at position: UInt64) throws {
        guard !range.isEmpty else { return }
        try finish()
        try encoder.data(
            offset: position + UInt64(range.lowerBound),
            UnsafeRawBufferPointer(rebasing: bytes[range])
        )
    }

    private mutating func extend(_ range: Range<UInt64>) throws {
        if same.isEmpty || same.upperBound != range.lowerBound {
            try finish()
            same = range
        } else {
            same = same.lowerBound..<range.upperBound
        }
    }

    private static func isEqual(
        _ one: UnsafeRawBufferPointer,
        _ other: UnsafeRawBufferPointer,
        _ range: Range<Int>
    ) -> Bool {
        guard range.upperBound <= other.count, let one = one.baseAddress, let other = other.baseAddress else {
            return false
        }
        return memcmp(one + range.lowerBound, other + range.lowerBound, range.count) == 0
    }
}
