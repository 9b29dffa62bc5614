import Glibc

internal import CFiles

/// What a walk through a tree comes by, in the order in which the tree can be made anew.
protocol TreeVisitor {
    /// The root first, which has no name; ``leave()`` ends each.
    mutating func enter(_ name: EntryName?, _ metadata: EntryMetadata, _ attributes: [ExtendedAttribute]) throws
    mutating func leave() throws
    /// - Parameter content: open for reading.
    mutating func file(
        _ name: EntryName,
        _ metadata: EntryMetadata,
        _ attributes: [ExtendedAttribute],
        content: Int32,
        size: Int64,
        at path: EntryPath
    ) throws
    mutating func symbolicLink(_ name: EntryName, _ metadata: EntryMetadata, target: [UInt8]) throws
    mutating func hardLink(_ name: EntryName, to path: EntryPath) throws
    /// A device, pipe or socket, by the bits of stat(2).
    mutating func node(_ name: EntryName, _ metadata: EntryMetadata, kind: mode_t, device: UInt64) throws
}

/// Something in a tree that can't be read or made.
struct TreeProblem: Error {
    let operation: String
    let path: String
    let reason: Errno
}

/// Goes through a subvolume's tree without following links. Subvolumes inside of it are not part of it.
struct TreeWalker<Visitor: TreeVisitor> {
    private(set) var visitor: Visitor
    private let stop: StopSignal?
    private let foreign: (Int32) -> Set<EntryName>
    private var seen: [Place: EntryPath] = [:]

    private struct Place: Hashable {
        let device: UInt64
        let inode: UInt64
    }

    /// Creates a walker.
    ///
    /// - Parameters:
    ///   - stop: ends the walk with ``StreamFailure/stopped``.
    ///   - foreign: the names in an open directory that are passed over.
    init(_ visitor: Visitor, stop: StopSignal? = nil, passingOver foreign: @escaping (Int32) -> Set<EntryName>) {
        self.visitor = visitor
        self.stop = stop
        self.foreign = foreign
    }

    /// Visits a tree.
    ///
    /// - Parameter root: an open directory, which stays the caller's.
    mutating func walk(_ root: Int32) throws {
        let own = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard own >= 0 else { throw TreeProblem(operation: "open", path: ".", reason: Errno(rawValue: errno)) }
        try walk(directory: own, nil, [], depth: 0)
    }

    /// - Parameter directory: is closed at the end.
    private mutating func walk(directory: Int32, _ name: EntryName?, _ path: [UInt8], depth: Int) throws {
        guard let stream = fdopendir(directory) else {
            let reason = Errno(rawValue: errno)
            close(directory)
            throw problem("open", path, reason)
        }
        defer { closedir(stream) }
        guard depth <= DirectoryStream.maximalDepth else { throw problem("go into", path, .fileNameTooLong) }
        var status = stat()
        guard fstat(directory, &status) == 0 else { throw problem("look at", path, Errno(rawValue: errno)) }
        let attributes = try attributes(of: directory, path)
        try visitor.enter(name, EntryMetadata(status), attributes)
        let foreign = foreign(directory)
        for entry in Self.names(in: stream) where !foreign.contains(entry) {
            if stop?.isRaised == true { throw StreamFailure.stopped }
            try visit(
                entry,
                in: directory,
                path.isEmpty ? entry.bytes : path + [UInt8(ascii: "/")] + entry.bytes,
                depth
            )
        }
        try visitor.leave()
    }

    private mutating func visit(_ name: EntryName, in directory: Int32, _ path: [UInt8], _ depth: Int) throws {
        var status = stat()
        guard fstatat(directory, name.terminated, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
            throw problem("look at", path, Errno(rawValue: errno))
        }
        let metadata = EntryMetadata(status)
        guard let place = EntryPath(path) else { throw problem("name", path, .fileNameTooLong) }
        let isDirectory = status.st_mode & S_IFMT == S_IFDIR
        if !isDirectory, status.st_nlink > 1 {
            let key = Place(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
            if let first = seen[key] { return try visitor.hardLink(name, to: first) }
            seen[key] = place
        }
        switch status.st_mode & S_IFMT {
        case S_IFDIR:
            let opened = openat(directory, name.terminated, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            guard opened >= 0 else { throw problem("open", path, Errno(rawValue: errno)) }
            try walk(directory: opened, name, path, depth: depth + 1)
        case S_IFREG:
            let opened = openat(directory, name.terminated, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
            guard opened >= 0 else { throw problem("open", path, Errno(rawValue: errno)) }
            defer { close(opened) }
            let attributes = try attributes(of: opened, path)
            try visitor.file(name, metadata, attributes, content: opened, size: Int64(status.st_size), at: place)
        case S_IFLNK:
            var target = [CChar](repeating: 0, count: 4096)
            let count = readlinkat(directory, name.terminated, &target, target.count)
            guard count > 0, count < target.count else { throw problem("read", path, Errno(rawValue: errno)) }
            try visitor.symbolicLink(name, metadata, target: target.prefix(count).map { UInt8(bitPattern: $0) })
        default:
            try visitor.node(name, metadata, kind: status.st_mode & S_IFMT, device: UInt64(status.st_rdev))
        }
    }

    private func attributes(of file: Int32, _ path: [UInt8]) throws -> [ExtendedAttribute] {
        do { return try ExtendedAttribute.all(of: file) } catch { throw problem("read attributes of", path, error) }
    }

    private func problem(_ operation: String, _ path: [UInt8], _ reason: Errno) -> TreeProblem {
        TreeProblem(operation: operation, path: path.isEmpty ? "." : EntryPath.shown(path), reason: reason)
    }

    private static func names(in stream: OpaquePointer) -> [EntryName] {
        var names: [EntryName] = []
        while let entry = readdir(stream) {
            let bytes = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            if let name = EntryName(bytes) { names.append(name) }
        }
        return names.sorted()
    }
}
