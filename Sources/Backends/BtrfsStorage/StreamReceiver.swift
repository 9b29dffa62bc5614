import BuildOSKit
import Glibc

internal import CBtrfsUtil

/// Makes a subvolume from a stream (btrfs-receive(8)), on a thread that may block.
///
/// It does so itself instead of having `btrfs receive` do it, because that follows links which a hostile stream has made,
/// and says of a failure what only a person can read.
final class StreamReceiver {
    private let reader: StreamReader
    private let directory: FilePath
    private let parentDirectory: FileDescriptor
    private let index: SubvolumeIndex

    /// The subvolume that is being made.
    private var made: (place: SubvolumePlace, reference: SubvolumeReference, tree: ReceivedTree)?
    private var parent: (identity: VolumeUUID, root: FileDescriptor)?
    private var version: UInt32 = 0
    /// Bytes written since the system was last told to write them to the disk.
    private var unwritten = 0

    /// Creates a receiver into a directory on a btrfs volume.
    init(_ reader: StreamReader, into directory: FilePath) throws(MachineStorageError) {
        self.reader = reader
        self.directory = directory
        parentDirectory = try FileDescriptor.open(btrfsDirectory: directory)
        index = SubvolumeIndex(parentDirectory)
    }

    deinit {
        try? parent?.root.close()
        try? parentDirectory.close()
    }

    /// Reads the stream to its end.
    ///
    /// - Returns: the path of the subvolume, which is read-only.
    /// - Throws: ``MachineStorageError``; the subvolume is then deleted again.
    func run() throws(MachineStorageError) -> FilePath {
        do {
            return try receive()
        } catch {
            if let made {
                made.tree.forget()
                made.place.delete()
            }
            switch error {
            case let error as MachineStorageError: throw error
            case let error as StreamDefect: throw MachineStorageError(.badStream, path: place, cause: error.text)
            case let error as StreamFailure: throw MachineStorageError(receiving: error, place)
            default: throw MachineStorageError(.other, path: place, cause: "\(error)")
            }
        }
    }

    /// What errors are about.
    private var place: FilePath { made?.place.path ?? directory }

    private func receive() throws -> FilePath {
        let size = CommandHead.maximalBodyLength + CommandHead.length
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
        defer { buffer.deallocate() }
        let start = UnsafeMutableRawBufferPointer(rebasing: buffer[..<StreamHead.length])
        try reader.fill(start)
        version = try StreamHead(UnsafeRawBufferPointer(start)).version
        let first = UnsafeMutableRawBufferPointer(rebasing: buffer[..<CommandHead.length])
        try reader.fill(first)
        var head = try CommandHead(UnsafeRawBufferPointer(first))
        while true {
            // With a command comes the head of the next, so that each costs one read, and not a byte after the last is
            // taken.
            let length = head.bodyLength + (head.isEnd ? 0 : CommandHead.length)
            try reader.fill(UnsafeMutableRawBufferPointer(rebasing: buffer[..<length]))
            let body = UnsafeRawBufferPointer(rebasing: buffer[..<head.bodyLength])
            try verify(head, body)
            let command = try StreamCommand(head, body, version: version)
            if case .end = command { break }
            try apply(command, body)
            head = try CommandHead(UnsafeRawBufferPointer(rebasing: buffer[head.bodyLength..<length]))
        }
        guard let made else { throw StreamDefect("it is empty") }
        try finish(made)
        reader.finish()
        return made.place.path
    }

    private func verify(_ head: CommandHead, _ body: UnsafeRawBufferPointer) throws(StreamDefect) {
        let start = head.summedBytes.withUnsafeBytes { cbtrfsutil_crc32c(0, $0.baseAddress, $0.count) }
        guard cbtrfsutil_crc32c(start, body.baseAddress, body.count) == head.checksum else {
            throw StreamDefect("a command's checksum is wrong: it was damaged on its way")
        }
    }

    private func begin(
        _ name: String,
        _ reference: SubvolumeReference,
        _ base: SubvolumeReference?
    ) throws {
        guard made == nil else { throw StreamDefect("it holds two subvolumes; one at a time is received") }
        let place = SubvolumePlace(directory: directory, descriptor: parentDirectory, name: name)
        if let base { parent = (base.identity, try index.parent(base, at: place.path)) }
        made = (place, reference, ReceivedTree(root: try place.make(from: parent?.root)))
    }

    private func finish(
        _ made: (place: SubvolumePlace, reference: SubvolumeReference, tree: ReceivedTree)
    ) throws(MachineStorageError) {
        made.tree.forget()
        try made.place.complete(FileDescriptor(rawValue: made.tree.rootDescriptor), as: made.reference)
    }

    private func apply(_ command: StreamCommand, _ body: UnsafeRawBufferPointer) throws {
        if case .begin(let name, let reference, let parent) = command { return try begin(name, reference, parent) }
        guard let tree = made?.tree else { throw StreamDefect("its first command makes no subvolume") }
        do {
            try apply(command, body, to: tree)
        } catch let reason as Errno {
            throw MachineStorageError(applying: command, reason, place)
        }
    }

    private func apply(_ command: StreamCommand, _ body: UnsafeRawBufferPointer, to tree: ReceivedTree) throws {
        switch command {
        case .begin, .nothing, .end: break
        case .makeFile(let path):
            let file = try tree.call(path) {
                openat($0, $1, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0o600)
            }
            close(file)
        case .makeDirectory(let path): try tree.call(path) { mkdirat($0, $1, 0o700) }
        case .makeNode(let path, let mode, let device): try tree.call(path) { mknodat($0, $1, mode | 0o600, device) }
        case .makeLink(let path, let target): try tree.call(path) { symlinkat(target, $0, $1) }
        case .rename(let path, let new):
            try tree.call(path, new) { renameat($0, $1, $2, $3) }
            tree.forget()
        case .link(let path, let existing):
            try tree.call(existing, path) { linkat($0, $1, $2, $3, 0) }
            tree.forget()
        case .unlink(let path):
            try tree.call(path) { unlinkat($0, $1, 0) }
            tree.forget()
        case .removeDirectory(let path):
            try tree.call(path) { unlinkat($0, $1, AT_REMOVEDIR) }
            tree.forget()
        case .setAttribute(let path, let name, let range):
            let value = body.part(range)
            try tree.callByPath(path) { lsetxattr($0, name, value.baseAddress, value.count, 0) }
        case .removeAttribute(let path, let name): try tree.callByPath(path) { lremovexattr($0, name) }
        case .write, .writeEncoded, .clone, .truncate: try applyContent(command, body, to: tree)
        case .changeMode(let path, let mode):
            if path.isRoot {
                guard fchmod(tree.rootDescriptor, mode) == 0 else { throw Errno(rawValue: errno) }
            } else {
                try tree.call(path) { fchmodat($0, $1, mode, AT_SYMLINK_NOFOLLOW) }
            }
        case .changeOwner(let path, let user, let group):
            if path.isRoot {
                guard fchown(tree.rootDescriptor, user, group) == 0 else { throw Errno(rawValue: errno) }
            } else {
                try tree.call(path) { fchownat($0, $1, user, group, AT_SYMLINK_NOFOLLOW) }
            }
        case .changeTimes(let path, let access, let modification):
            if path.isRoot {
                guard futimens(tree.rootDescriptor, [access, modification]) == 0 else { throw Errno(rawValue: errno) }
            } else {
                try tree.call(path) { utimensat($0, $1, [access, modification], AT_SYMLINK_NOFOLLOW) }
            }
        }
    }

    private func applyContent(_ command: StreamCommand, _ body: UnsafeRawBufferPointer, to tree: ReceivedTree) throws {
        switch command {
        case .write(let path, let offset, let range):
            let file = try tree.writable(path)
            var (data, position) = (body.part(range), off_t(offset))
            while !data.isEmpty {
                let count = pwrite(file, data.baseAddress, data.count, position)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw Errno(rawValue: errno) }
                data = UnsafeRawBufferPointer(rebasing: data[count...])
                position += off_t(count)
                unwritten += count
            }
            // The disk has work to do while the stream comes, and at the end there is less to wait for.
            if unwritten >= 32 << 20 {
                cbtrfsutil_begin_writing(file)
                unwritten = 0
            }
        case .writeEncoded(let path, let offset, let range, let encoding):
            let data = body.part(range)
            var parameters = cbtrfsutil_encoding(
                length: encoding.fileLength,
                unencoded_length: encoding.length,
                unencoded_offset: encoding.offset,
                compression: encoding.compression,
                encryption: encoding.encryption
            )
            let file = try tree.writable(path)
            guard cbtrfsutil_write_encoded(file, offset, data.baseAddress, data.count, &parameters) == 0 else {
                throw Errno(rawValue: errno)
            }
        case .clone(let path, let offset, let source, let sourcePath, let sourceOffset, let length):
            let file = try tree.writable(path)
            let original = try open(source, sourcePath, tree)
            defer { try? original.close() }
            guard cbtrfsutil_clone(file, offset, original.rawValue, sourceOffset, length) == 0 else {
                throw Errno(rawValue: errno)
            }
        case .truncate(let path, let size):
            guard ftruncate(try tree.writable(path), off_t(size)) == 0 else { throw Errno(rawValue: errno) }
        default: break
        }
    }

    /// A file to clone from: of the subvolume itself or its parent, and of no other, which could be somebody else's.
    private func open(
        _ identity: VolumeUUID,
        _ path: StreamPath,
        _ tree: ReceivedTree
    ) throws -> FileDescriptor {
        if identity == made?.reference.identity {
            return try ReceivedTree.open(path, beneath: tree.rootDescriptor, O_RDONLY)
        }
        guard let parent, identity == parent.identity else {
            throw StreamDefect("it takes '\(path)' from the subvolume \(identity), which is not its parent")
        }
        return try ReceivedTree.open(path, beneath: parent.root.rawValue, O_RDONLY)
    }
}

extension MachineStorageError {
    /// A command of a stream that the system refused.
    fileprivate init(applying command: StreamCommand, _ reason: Errno, _ place: FilePath) {
        let what = "\(command)".prefix { $0 != "(" }
        switch reason {
        case .noSpace, .diskQuotaExceeded, .readOnlyFileSystem, .notPermitted, .permissionDenied, .ioError:
            self.init(reason, place, "apply the stream's \(what)")
        default:
            self.init(.badStream, path: place, cause: "its command '\(what)' can't be applied: \(reason)")
        }
    }

    /// A stream that could not be read to its end.
    init(receiving failure: StreamFailure, _ place: FilePath) {
        switch failure {
        case .stopped: self.init(.cancelled, path: place, cause: "receiving was cancelled")
        case .ended, .closed: self.init(.badStream, path: place, cause: "the stream ended before its end")
        case .system(let reason): self.init(.other, path: place, cause: "can't read the stream: \(reason)")
        }
    }
}
