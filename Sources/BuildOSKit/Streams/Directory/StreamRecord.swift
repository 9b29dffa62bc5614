import Glibc

/// A part of a stream of the format `directory-1`; see ``DirectoryStream``.
enum StreamRecord: Hashable {
    static let magic = Array("buildos-directory-1\n".utf8)
    /// Bytes of a record's kind and length.
    static let headLength = 5
    /// Bytes of data in a record at most.
    static let maximalData = 256 << 10
    /// Bytes of a payload at most.
    static let maximalPayload = maximalData + 4096

    case begin(DirectoryStream.Beginning)
    /// A directory; without a name, the root.
    case enter(EntryName?, EntryMetadata)
    case leave
    case file(EntryName, EntryMetadata, size: UInt64, base: FileBase?)
    /// Bytes of the file: a range of the payload.
    case data(offset: UInt64, Range<Int>)
    /// The file has what its base has in this range.
    case same(offset: UInt64, length: UInt64)
    case attribute(ExtendedAttribute)
    case symbolicLink(EntryName, EntryMetadata, target: [UInt8])
    case hardLink(EntryName, to: EntryPath)
    case node(EntryName, EntryMetadata, kind: UInt32, device: UInt64)
    case end(digest: [UInt8])

    /// A file of the parent. What it was tells whether the receiver's is the same.
    struct FileBase: Hashable {
        let path: EntryPath
        let size: UInt64
        let seconds: Int64
        let nanoseconds: UInt32
    }

    enum Kind: UInt8 {
        case begin = 0x42
        case beginDifference = 0x69
        case enter = 0x44
        case enterRoot = 0x72
        case leave = 0x55
        case file = 0x46
        case fileWithBase = 0x67
        case data = 0x64
        case same = 0x73
        case attribute = 0x41
        case symbolicLink = 0x4c
        case hardLink = 0x48
        case node = 0x4e
        case end = 0x45
    }

    /// A record's head: kind and length of its payload.
    ///
    /// - Throws: ``StreamDefect`` if the kind is unknown or the payload longer than any should be.
    static func head(_ bytes: UnsafeRawBufferPointer) throws(StreamDefect) -> (kind: Kind, length: Int) {
        guard bytes.count == headLength, let kind = Kind(rawValue: bytes[0]) else {
            throw StreamDefect("it holds a record of unknown kind")
        }
        let length = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 1, as: UInt32.self))
        guard length <= UInt32(maximalPayload) else { throw StreamDefect("a record has \(length) bytes") }
        return (kind, Int(length))
    }

    /// Parses a payload.
    ///
    /// - Throws: ``StreamDefect`` if it is too short or too long for what it holds, or that is out of bounds.
    init(_ kind: Kind, _ payload: UnsafeRawBufferPointer) throws(StreamDefect) {
        var reader = PayloadReader(payload)
        switch kind {
        case .begin, .beginDifference:
            let bytes = try reader.bytes(limit: 255)
            guard EntryName(bytes) != nil, !bytes.elementsEqual(DirectoryStream.reservedName.utf8),
                let name = String(validating: bytes, as: UTF8.self)
            else {
                throw StreamDefect("'\(EntryPath.shown(bytes))' is no name for a subvolume")
            }
            let origin = try reader.origin()
            self = .begin(
                DirectoryStream.Beginning(
                    name: name,
                    origin: origin,
                    parent: kind == .begin ? nil : try reader.origin()
                )
            )
            let summed = reader.position
            guard Array(try reader.raw(32)) == StreamDigest.of(UnsafeRawBufferPointer(rebasing: payload[..<summed]))
            else {
                throw StreamDefect("its head is damaged")
            }
        case .enterRoot: self = .enter(nil, try reader.metadata())
        case .enter: self = .enter(try reader.name(), try reader.metadata())
        case .leave: self = .leave
        case .file, .fileWithBase:
            let (name, metadata, size) = (try reader.name(), try reader.metadata(), try reader.position63())
            self = .file(name, metadata, size: size, base: kind == .file ? nil : try reader.base())
        case .data:
            let offset = try reader.position63()
            self = .data(offset: offset, reader.position..<payload.count)
            return
        case .same: self = .same(offset: try reader.position63(), length: try reader.position63())
        case .attribute:
            let (name, value) = (try reader.bytes(limit: 255), try reader.bytes(limit: ExtendedAttribute.limit))
            guard let attribute = ExtendedAttribute(name: name, value: value) else {
                throw StreamDefect("it holds an attribute of a kind that isn't carried")
            }
            self = .attribute(attribute)
        case .symbolicLink:
            let (name, metadata, target) = (try reader.name(), try reader.metadata(), try reader.bytes(limit: 4095))
            guard !target.isEmpty, !target.contains(0) else { throw StreamDefect("a link leads nowhere") }
            self = .symbolicLink(name, metadata, target: target)
        case .hardLink: self = .hardLink(try reader.name(), to: try reader.path())
        case .node:
            let (name, metadata) = (try reader.name(), try reader.metadata())
            let (kind, device): (UInt32, UInt64) = (try reader.integer(), try reader.integer())
            guard [S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK].contains(mode_t(kind)) else {
                throw StreamDefect("a node is of unknown kind \(kind)")
            }
            self = .node(name, metadata, kind: kind, device: device)
        case .end: self = .end(digest: Array(try reader.raw(32)))
        }
        guard reader.isAtEnd else { throw StreamDefect("a record is longer than what it holds") }
    }
}

/// Reads the parts of a payload.
struct PayloadReader {
    private let payload: UnsafeRawBufferPointer
    private(set) var position = 0

    init(_ payload: UnsafeRawBufferPointer) { self.payload = payload }

    var isAtEnd: Bool { position == payload.count }

    mutating func raw(_ count: Int) throws(StreamDefect) -> UnsafeRawBufferPointer {
        guard count <= payload.count - position else { throw StreamDefect("a record is shorter than what it holds") }
        defer { position += count }
        return UnsafeRawBufferPointer(rebasing: payload[position..<position + count])
    }

    mutating func integer<Value: FixedWidthInteger>() throws(StreamDefect) -> Value {
        Value(littleEndian: try raw(MemoryLayout<Value>.size).loadUnaligned(as: Value.self))
    }

    /// A position in a file, or a length, which the system counts in 63 bits.
    mutating func position63() throws(StreamDefect) -> UInt64 {
        let value: UInt64 = try integer()
        guard value <= UInt64(Int64.max) else { throw StreamDefect("a position is \(value)") }
        return value
    }

    mutating func bytes(limit: Int) throws(StreamDefect) -> [UInt8] {
        let count: UInt32 = try integer()
        guard count <= UInt32(limit) else { throw StreamDefect("something has \(count) bytes, and may have \(limit)") }
        return Array(try raw(Int(count)))
    }

    mutating func name() throws(StreamDefect) -> EntryName {
        let bytes = try bytes(limit: 255)
        guard let name = EntryName(bytes), !bytes.elementsEqual(DirectoryStream.reservedName.utf8) else {
            throw StreamDefect("'\(EntryPath.shown(bytes))' is no name for an entry")
        }
        return name
    }

    mutating func path() throws(StreamDefect) -> EntryPath {
        let bytes = try bytes(limit: 4095)
        guard let path = EntryPath(bytes) else {
            throw StreamDefect("the path '\(EntryPath.shown(bytes))' could lead out of the subvolume")
        }
        return path
    }

    mutating func metadata() throws(StreamDefect) -> EntryMetadata {
        let metadata = EntryMetadata(
            mode: try integer(),
            user: try integer(),
            group: try integer(),
            seconds: try integer(),
            nanoseconds: try integer()
        )
        guard metadata.mode <= 0o7777, metadata.nanoseconds < 1_000_000_000 else {
            throw StreamDefect("an entry has mode \(metadata.mode) and \(metadata.nanoseconds) ns")
        }
        return metadata
    }

    mutating func origin() throws(StreamDefect) -> SubvolumeOrigin {
        guard let uuid = VolumeUUID(Array(try raw(16))) else { throw StreamDefect("an identity is cut off") }
        return SubvolumeOrigin(uuid: uuid, generation: try integer())
    }

    mutating func base() throws(StreamDefect) -> StreamRecord.FileBase {
        StreamRecord.FileBase(
            path: try path(),
            size: try position63(),
            seconds: try integer(),
            nanoseconds: try integer()
        )
    }
}
