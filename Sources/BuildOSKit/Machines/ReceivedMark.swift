/// The mark of an image that was received whole: a file beside it in `.received/` with its identity on this host.
///
/// A storage may take a stream that was cut between two commands for one that ended (btrfs receive does). So what lies in
/// `.received/` counts only once the sender's end was seen and this mark was written.
struct ReceivedMark: Sendable {
    private let path: FilePath

    init(_ subvolume: FilePath) { path = FilePath(subvolume.string + Self.suffix) }

    static let suffix = ".whole"

    /// Whether a subvolume is the one that was marked.
    func holds(for subvolume: Subvolume) -> Bool {
        guard subvolume.isReadOnly, subvolume.receivedUUID != nil, let uuid = subvolume.uuid,
            let text = try? FileTree.readText(path, limit: 4096)
        else { return false }
        return text == uuid + "\n"
    }

    func write(for subvolume: Subvolume) throws(FileError) {
        try FileTree.write((subvolume.uuid ?? "") + "\n", to: path)
    }

    func remove() throws(FileError) { try FileTree.remove(path) }

    /// Removes the marks of what is no longer there, and those whose writing was cut short.
    static func removeOrphans(in directory: FilePath) throws(FileError) {
        for name in try FileTree.names(in: directory) {
            let isOrphan =
                name.hasSuffix(suffix) && FileKind(directory.appending(String(name.dropLast(suffix.count)))) == nil
            if isOrphan || name.contains(suffix + FileTree.temporaryMark) {
                try FileTree.remove(directory.appending(name))
            }
        }
    }
}
