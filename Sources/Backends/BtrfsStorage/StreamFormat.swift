import BuildOSKit

/// What is wrong with a stream.
struct StreamDefect: Error, Hashable {
    let text: String
    init(_ text: String) { self.text = text }
}

/// The head of a btrfs stream: 17 bytes (fs/btrfs/send.h, `btrfs_stream_header`).
struct StreamHead: Hashable {
    static let length = 17
    static let magic = Array("btrfs-stream\0".utf8)

    /// The version of the protocol.
    let version: UInt32

    /// Parses a head.
    ///
    /// - Throws: ``StreamDefect`` if it is something else, or of a version that isn't known here.
    init(_ bytes: UnsafeRawBufferPointer) throws(StreamDefect) {
        guard bytes.count == Self.length, bytes.starts(with: Self.magic) else {
            throw StreamDefect("it is not a btrfs stream")
        }
        version = bytes.littleEndian(at: 13)
        guard (1...2).contains(version) else {
            throw StreamDefect("it is of version \(version) of the protocol; versions 1 and 2 are understood")
        }
    }
}

/// What precedes each command: 10 bytes (fs/btrfs/send.h, `btrfs_cmd_header`).
struct CommandHead: Hashable {
    static let length = 10
    /// Bytes of a command at most: the kernel's own limit is 64 KiB, in version 2 128 KiB of data and some 16 KiB more.
    static let maximalBodyLength = 256 << 10

    /// Bytes that follow.
    let bodyLength: Int
    /// What command it is.
    let code: UInt16
    /// CRC-32C of the command, with this field being zero.
    let checksum: UInt32

    /// Parses a head.
    ///
    /// - Throws: ``StreamDefect`` if the command is longer than any should be.
    init(_ bytes: UnsafeRawBufferPointer) throws(StreamDefect) {
        guard bytes.count == Self.length else { throw StreamDefect("a command is cut off") }
        let length: UInt32 = bytes.littleEndian(at: 0)
        guard length <= UInt32(Self.maximalBodyLength) else { throw StreamDefect("a command has \(length) bytes") }
        bodyLength = Int(length)
        code = bytes.littleEndian(at: 4)
        checksum = bytes.littleEndian(at: 6)
    }

    /// Whether no command follows this one.
    var isEnd: Bool { code == CommandCode.end.rawValue }

    /// The head with its checksum zero, as it is summed.
    var summedBytes: [UInt8] {
        withUnsafeBytes(of: UInt32(bodyLength).littleEndian) { Array($0) }
            + withUnsafeBytes(of: code.littleEndian) { Array($0) } + [0, 0, 0, 0]
    }
}

/// The commands of versions 1 and 2 that the kernel sends (fs/btrfs/send.h, `btrfs_send_cmd`).
enum CommandCode: UInt16 {
    case subvolume = 1, snapshot
    case makeFile, makeDirectory, makeNode, makePipe, makeSocket, makeLink
    case rename, link, unlink, removeDirectory
    case setAttribute, removeAttribute
    case write, clone, truncate
    case changeMode, changeOwner, changeTimes
    case end, updateExtent
    case changeFlags = 24
    case writeEncoded = 25
}

/// The attributes of commands (fs/btrfs/send.h, the unnamed enumeration of `BTRFS_SEND_A_…`).
enum AttributeCode: UInt16 {
    case uuid = 1
    case transaction = 2
    case size = 4
    case mode, user, group, device
    case modificationTime = 10
    case accessTime = 11
    case attributeName = 13
    case attributeData, path, newPath, linkedPath, offset, data
    case cloneUUID, cloneTransaction, clonePath, cloneOffset, cloneLength
    case unencodedFileLength = 27
    case unencodedLength, unencodedOffset, compression, encryption
}

extension UnsafeRawBufferPointer {
    /// The integer at an offset that is known to be inside.
    func littleEndian<Value: FixedWidthInteger>(at offset: Int) -> Value {
        Value(littleEndian: loadUnaligned(fromByteOffset: offset, as: Value.self))
    }

    /// A part of these bytes.
    func part(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: self[range]) }
}
