import Glibc

internal import CFiles

/// Makes a tree from its entries, one after the other. Each is made by its name in a directory that is open, so that no
/// link that was made before can lead anywhere.
final class TreeMaker {
    /// The attributes of one entry, which are kept until it is complete.
    private struct Attributes {
        private(set) var list: [ExtendedAttribute] = []
        private var byteCount = 0
        private static let overhead = 64

        var heldBytes: Int { byteCount + list.count * Self.overhead }

        mutating func add(_ attribute: ExtendedAttribute) throws(StreamDefect) {
            byteCount += attribute.name.count + attribute.value.count
            guard byteCount <= 2 * ExtendedAttribute.limit else {
                throw StreamDefect("an entry has too many attributes")
            }
            list.append(attribute)
        }
    }

    private struct Level {
        let directory: Int32
        let name: String
        var metadata: EntryMetadata?
        var attributes = Attributes()
    }

    private struct File {
        let descriptor: Int32
        let name: EntryName
        let metadata: EntryMetadata
        let size: Int64
        var attributes = Attributes()
    }

    private var levels: [Level]
    private var openFile: File?
    /// Bytes of attributes, and of what holds them, that all open entries may have together.
    private static let maximalHeldBytes = 4 << 20

    /// Creates a maker that fills an empty directory.
    ///
    /// - Parameter root: an open directory; a duplicate is kept.
    init(root: Int32) throws {
        let own = fcntl(root, F_DUPFD_CLOEXEC, 0)
        guard own >= 0 else { throw TreeProblem(operation: "open", path: ".", reason: Errno(rawValue: errno)) }
        levels = [Level(directory: own, name: ".")]
    }

    deinit {
        if let openFile { close(openFile.descriptor) }
        for level in levels { close(level.directory) }
    }

    /// Whether the root has been left: the tree is complete.
    var isComplete: Bool { levels.isEmpty }

    /// Begins the root, or a directory in the one that was entered last.
    func enter(_ name: EntryName?, _ metadata: EntryMetadata) throws {
        try finishFile()
        guard let name else {
            guard levels.count == 1, levels[0].metadata == nil else { throw StreamDefect("it has two roots") }
            levels[0].metadata = metadata
            return
        }
        guard levels.count <= DirectoryStream.maximalDepth else { throw StreamDefect("it is too deep") }
        let parent = try directory()
        try call("make", name) { mkdirat(parent, name.terminated, 0o700) }
        let made = try call("open", name) {
            openat(parent, name.terminated, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        }
        levels.append(Level(directory: made, name: name.description, metadata: metadata))
    }

    /// Ends the directory that was entered last.
    func leave() throws {
        try finishFile()
        guard let level = levels.last, let metadata = level.metadata else { throw StreamDefect("it leaves its root") }
        do throws(Errno) {
            try metadata.apply(to: level.directory, level.attributes.list)
        } catch {
            throw TreeProblem(operation: "complete", path: level.name, reason: error)
        }
        close(level.directory)
        levels.removeLast()
    }

    /// Begins a file, a hole from beginning to end, that is open until the next entry.
    ///
    /// - Returns: a descriptor for reading and writing, which stays the maker's.
    func beginFile(_ name: EntryName, _ metadata: EntryMetadata, size: Int64) throws -> Int32 {
        try finishFile()
        let parent = try directory()
        let file = try call("make", name) {
            openat(parent, name.terminated, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        }
        openFile = File(descriptor: file, name: name, metadata: metadata, size: size)
        try call("size", name) { ftruncate(file, off_t(size)) }
        return file
    }

    /// Adds an attribute to the entry that was begun last.
    func add(_ attribute: ExtendedAttribute) throws {
        if openFile != nil {
            try openFile?.attributes.add(attribute)
        } else if !levels.isEmpty {
            try levels[levels.count - 1].attributes.add(attribute)
        }
        let held = levels.reduce(openFile?.attributes.heldBytes ?? 0) { $0 + $1.attributes.heldBytes }
        guard held <= Self.maximalHeldBytes else { throw StreamDefect("its entries have too many attributes") }
    }

    /// The file that is open, with its size.
    var current: (descriptor: Int32, size: Int64, name: EntryName)? {
        openFile.map { ($0.descriptor, $0.size, $0.name) }
    }

    func symbolicLink(_ name: EntryName, _ metadata: EntryMetadata, target: [UInt8]) throws {
        try finishFile()
        let parent = try directory()
        try call("make", name) { symlinkat(target.map { CChar(bitPattern: $0) } + [0], parent, name.terminated) }
        try complete(name, metadata, parent, isLink: true)
    }

    /// Gives an entry that was made before a second name.
    func hardLink(_ name: EntryName, to path: EntryPath) throws {
        try finishFile()
        guard let root = levels.first else { throw StreamDefect("it goes on after its root") }
        let place = try call("find", name) { cfiles_open_beneath(root.directory, path.terminated, 0) }
        defer { close(place) }
        let parent = try directory()
        try call("link", name) {
            linkat(AT_FDCWD, "/proc/self/fd/\(place)", parent, name.terminated, AT_SYMLINK_FOLLOW)
        }
    }

    func node(_ name: EntryName, _ metadata: EntryMetadata, kind: mode_t, device: UInt64) throws {
        try finishFile()
        let parent = try directory()
        try call("make", name) { mknodat(parent, name.terminated, kind | 0o600, dev_t(device)) }
        try complete(name, metadata, parent, isLink: false)
    }

    private func directory() throws -> Int32 {
        guard let level = levels.last, level.metadata != nil else { throw StreamDefect("an entry is in no directory") }
        return level.directory
    }

    private func finishFile() throws {
        guard let file = openFile else { return }
        openFile = nil
        defer { close(file.descriptor) }
        do throws(Errno) {
            try file.metadata.apply(to: file.descriptor, file.attributes.list)
        } catch {
            throw TreeProblem(operation: "complete", path: file.name.description, reason: error)
        }
    }

    private func complete(_ name: EntryName, _ metadata: EntryMetadata, _ parent: Int32, isLink: Bool) throws {
        do throws(Errno) {
            try metadata.apply(to: name.terminated, in: parent, isLink: isLink)
        } catch {
            throw TreeProblem(operation: "complete", path: name.description, reason: error)
        }
    }

    @discardableResult
    private func call(_ operation: String, _ name: EntryName, _ call: () -> Int32) throws -> Int32 {
        let result = call()
        guard result >= 0 else {
            throw TreeProblem(operation: operation, path: name.description, reason: Errno(rawValue: errno))
        }
        return result
    }
}

/// Makes a tree as another is.
struct SnapshotMaker: TreeVisitor {
    private let maker: TreeMaker

    /// Creates a visitor that fills an empty directory.
    init(root: Int32) throws { maker = try TreeMaker(root: root) }

    func enter(_ name: EntryName?, _ metadata: EntryMetadata, _ attributes: [ExtendedAttribute]) throws {
        try maker.enter(name, metadata)
        for attribute in attributes { try maker.add(attribute) }
    }

    func leave() throws { try maker.leave() }

    func file(
        _ name: EntryName,
        _ metadata: EntryMetadata,
        _ attributes: [ExtendedAttribute],
        content: Int32,
        size: Int64,
        at path: EntryPath
    ) throws {
        let file = try maker.beginFile(name, metadata, size: size)
        for attribute in attributes { try maker.add(attribute) }
        do throws(Errno) {
            try FileRange(source: content, to: file).copy(0, 0, UInt64(size))
        } catch {
            throw TreeProblem(operation: "copy", path: path.description, reason: error)
        }
    }

    func symbolicLink(_ name: EntryName, _ metadata: EntryMetadata, target: [UInt8]) throws {
        try maker.symbolicLink(name, metadata, target: target)
    }

    func hardLink(_ name: EntryName, to path: EntryPath) throws { try maker.hardLink(name, to: path) }

    func node(_ name: EntryName, _ metadata: EntryMetadata, kind: mode_t, device: UInt64) throws {
        try maker.node(name, metadata, kind: kind, device: device)
    }
}

/// Copies from one file to another: by sharing the data where the file system can, else what is not a hole.
struct FileRange {
    let source: Int32
    let to: Int32

    init(source: Int32, to destination: Int32) {
        self.source = source
        to = destination
    }

    /// Copies a range into a hole.
    func copy(_ offset: UInt64, _ sourceOffset: UInt64, _ length: UInt64) throws(Errno) {
        guard length > 0 else { return }
        if cfiles_clone(to, source, offset, sourceOffset, length) == 0 { return }
        // Not aligned, not the same file system, or not of a kind that can: all say so in their own way.
        let end = sourceOffset + length
        var position = sourceOffset
        while position < end {
            var (start, stop): (UInt64, UInt64) = (0, 0)
            let found = cfiles_next_data(source, position, &start, &stop)
            guard found >= 0 else { throw Errno(rawValue: errno) }
            guard found > 0, start < end else { return }
            (position, stop) = (max(start, position), min(stop, end))
            while position < stop {
                let count = cfiles_copy(to, source, offset + (position - sourceOffset), position, Int(stop - position))
                if count < 0, errno == EINTR { continue }
                guard count >= 0 else { throw Errno(rawValue: errno) }
                // The source got shorter.
                guard count > 0 else { throw .ioError }
                position += UInt64(count)
            }
        }
    }
}
