import BuildOSKit
import Glibc

extension VolumeUUID {
    /// Whether it is the identity of nothing.
    var isZero: Bool { bytes.allSatisfy { $0 == 0 } }
}

/// A subvolume as streams name it: its identity, and the transaction that changed it last.
struct SubvolumeReference: Hashable {
    let identity: VolumeUUID
    let transaction: UInt64
}

/// A command of a stream. Data are ranges of the command's bytes.
enum StreamCommand {
    case begin(name: String, SubvolumeReference, parent: SubvolumeReference?)
    case makeFile(StreamPath)
    case makeDirectory(StreamPath)
    /// A device, pipe or socket, by the bits of stat(2).
    case makeNode(StreamPath, mode: mode_t, device: dev_t)
    case makeLink(StreamPath, target: [CChar])
    case rename(StreamPath, to: StreamPath)
    case link(StreamPath, to: StreamPath)
    case unlink(StreamPath)
    case removeDirectory(StreamPath)
    case setAttribute(StreamPath, name: [CChar], Range<Int>)
    case removeAttribute(StreamPath, name: [CChar])
    case write(StreamPath, offset: UInt64, Range<Int>)
    case writeEncoded(StreamPath, offset: UInt64, Range<Int>, Encoding)
    case clone(StreamPath, offset: UInt64, source: VolumeUUID, StreamPath, sourceOffset: UInt64, length: UInt64)
    case truncate(StreamPath, size: UInt64)
    case changeMode(StreamPath, mode_t)
    case changeOwner(StreamPath, uid_t, gid_t)
    case changeTimes(StreamPath, access: timespec, modification: timespec)
    /// What changes nothing: that an extent was changed, in streams without data, or how one is to be stored.
    case nothing
    case end

    /// How data is compressed.
    struct Encoding: Hashable {
        let fileLength: UInt64
        let length: UInt64
        let offset: UInt64
        let compression: UInt32
        let encryption: UInt32
    }

    /// Parses a command's bytes.
    ///
    /// - Throws: ``StreamDefect`` for an unknown command, an attribute that is cut off, missing or of another size than it
    ///   should have, and a path that leads out.
    init(_ head: CommandHead, _ body: UnsafeRawBufferPointer, version: UInt32) throws(StreamDefect) {
        guard let code = CommandCode(rawValue: head.code) else {
            throw StreamDefect("it holds a command of unknown kind \(head.code)")
        }
        let attributes = try CommandAttributes(body, version: version)
        switch code {
        case .subvolume, .snapshot:
            let name = Array(body.part(try attributes.range(.path)))
            guard StreamPath.isName(name[...]), let text = String(validating: name, as: UTF8.self) else {
                throw StreamDefect("'\(StreamPath.shown(name))' is no name for a subvolume")
            }
            self = .begin(
                name: text,
                SubvolumeReference(
                    identity: try attributes.identity(.uuid),
                    transaction: try attributes.integer(.transaction)
                ),
                parent: code == .subvolume
                    ? nil
                    : SubvolumeReference(
                        identity: try attributes.identity(.cloneUUID),
                        transaction: try attributes.integer(.cloneTransaction)
                    )
            )
        case .makeFile: self = .makeFile(try attributes.path())
        case .makeDirectory: self = .makeDirectory(try attributes.path())
        case .makeNode, .makePipe, .makeSocket:
            let mode: UInt64 = try attributes.integer(.mode)
            let kind =
                switch code {
                case .makePipe: S_IFIFO
                case .makeSocket: S_IFSOCK
                default: mode_t(truncatingIfNeeded: mode) & S_IFMT
                }
            guard code != .makeNode || kind == S_IFCHR || kind == S_IFBLK else {
                throw StreamDefect("a device has mode \(mode)")
            }
            self = .makeNode(
                try attributes.path(),
                mode: kind,
                device: code == .makeNode ? try attributes.integer(.device) : 0
            )
        case .makeLink: self = .makeLink(try attributes.path(), target: try attributes.text(.linkedPath, limit: 4095))
        case .rename: self = .rename(try attributes.path(), to: try attributes.path(.newPath))
        case .link: self = .link(try attributes.path(), to: try attributes.path(.linkedPath))
        case .unlink: self = .unlink(try attributes.path())
        case .removeDirectory: self = .removeDirectory(try attributes.path())
        case .setAttribute:
            self = .setAttribute(
                try attributes.path(),
                name: try attributes.text(.attributeName, limit: 255),
                try attributes.range(.attributeData)
            )
        case .removeAttribute:
            self = .removeAttribute(try attributes.path(), name: try attributes.text(.attributeName, limit: 255))
        case .write:
            self = .write(try attributes.path(), offset: try attributes.position(.offset), try attributes.range(.data))
        case .writeEncoded:
            self = .writeEncoded(
                try attributes.path(),
                offset: try attributes.position(.offset),
                try attributes.range(.data),
                Encoding(
                    fileLength: try attributes.integer(.unencodedFileLength),
                    length: try attributes.integer(.unencodedLength),
                    offset: try attributes.integer(.unencodedOffset),
                    compression: try attributes.integer(.compression, default: 0),
                    encryption: try attributes.integer(.encryption, default: 0)
                )
            )
        case .clone:
            self = .clone(
                try attributes.path(),
                offset: try attributes.position(.offset),
                source: try attributes.identity(.cloneUUID),
                try attributes.path(.clonePath),
                sourceOffset: try attributes.position(.cloneOffset),
                length: try attributes.position(.cloneLength)
            )
        case .truncate: self = .truncate(try attributes.path(), size: try attributes.position(.size))
        case .changeMode:
            let mode: UInt64 = try attributes.integer(.mode)
            self = .changeMode(try attributes.path(), mode_t(truncatingIfNeeded: mode) & 0o7777)
        case .changeOwner:
            let (user, group): (UInt64, UInt64) = (try attributes.integer(.user), try attributes.integer(.group))
            guard let user = uid_t(exactly: user), let group = gid_t(exactly: group) else {
                throw StreamDefect("an owner is \(user):\(group)")
            }
            self = .changeOwner(try attributes.path(), user, group)
        case .changeTimes:
            self = .changeTimes(
                try attributes.path(),
                access: try attributes.time(.accessTime),
                modification: try attributes.time(.modificationTime)
            )
        // A file's flags (`BTRFS_SEND_C_FILEATTR`), how its data is stored on the sender's disk: as btrfs receive does.
        case .updateExtent, .changeFlags: self = .nothing
        case .end: self = .end
        }
    }
}

/// The attributes of one command: code, length, value, one after the other (`btrfs_tlv_header`).
struct CommandAttributes {
    private let body: UnsafeRawBufferPointer
    private var ranges: [(code: UInt16, range: Range<Int>)] = []

    init(_ body: UnsafeRawBufferPointer, version: UInt32) throws(StreamDefect) {
        self.body = body
        ranges.reserveCapacity(8)
        var position = 0
        while position < body.count {
            guard body.count - position >= 2 else { throw StreamDefect("an attribute is cut off") }
            let code: UInt16 = body.littleEndian(at: position)
            // From version 2 on, data comes last and goes on to the end of its command, as 16 bits can't say its length.
            if version > 1, code == AttributeCode.data.rawValue {
                ranges.append((code, position + 2..<body.count))
                return
            }
            guard body.count - position >= 4 else { throw StreamDefect("an attribute is cut off") }
            let length = Int(body.littleEndian(at: position + 2) as UInt16)
            let start = position + 4
            guard length <= body.count - start, ranges.count < 64 else { throw StreamDefect("an attribute is cut off") }
            ranges.append((code, start..<start + length))
            position = start + length
        }
    }

    func range(_ code: AttributeCode) throws(StreamDefect) -> Range<Int> {
        guard let found = ranges.first(where: { $0.code == code.rawValue }) else {
            throw StreamDefect("a command lacks its \(code)")
        }
        return found.range
    }

    func integer<Value: FixedWidthInteger>(_ code: AttributeCode) throws(StreamDefect) -> Value {
        let range = try range(code)
        guard range.count == MemoryLayout<Value>.size else { throw StreamDefect("a \(code) has \(range.count) bytes") }
        return body.littleEndian(at: range.lowerBound)
    }

    func integer<Value: FixedWidthInteger>(_ code: AttributeCode, default value: Value) throws(StreamDefect) -> Value {
        ranges.contains { $0.code == code.rawValue } ? try integer(code) : value
    }

    /// A position in a file, or a length, which the system counts in 63 bits.
    func position(_ code: AttributeCode) throws(StreamDefect) -> UInt64 {
        let value: UInt64 = try integer(code)
        guard value <= UInt64(Int64.max) else { throw StreamDefect("a \(code) is \(value)") }
        return value
    }

    func path(_ code: AttributeCode = .path) throws(StreamDefect) -> StreamPath {
        try StreamPath(body.part(try range(code)))
    }

    /// Bytes with a zero at their end for C.
    func text(_ code: AttributeCode, limit: Int) throws(StreamDefect) -> [CChar] {
        let bytes = body.part(try range(code))
        guard (1...limit).contains(bytes.count), !bytes.contains(0) else {
            throw StreamDefect("a \(code) has \(bytes.count) bytes or a zero")
        }
        return StreamPath.zeroTerminated(Array(bytes)[...])
    }

    func identity(_ code: AttributeCode) throws(StreamDefect) -> VolumeUUID {
        guard let identity = VolumeUUID(Array(body.part(try range(code)))), !identity.isZero else {
            throw StreamDefect("an identity is none")
        }
        return identity
    }

    func time(_ code: AttributeCode) throws(StreamDefect) -> timespec {
        let range = try range(code)
        guard range.count == 12 else { throw StreamDefect("a time has \(range.count) bytes") }
        let seconds: Int64 = body.littleEndian(at: range.lowerBound)
        let nanoseconds: UInt32 = body.littleEndian(at: range.lowerBound + 8)
        guard nanoseconds < 1_000_000_000 else { throw StreamDefect("a time has \(nanoseconds) ns") }
        return timespec(tv_sec: Int(seconds), tv_nsec: Int(nanoseconds))
    }
}
