import BuildOSKit
import Glibc

/// Which directories are this store's: a file for each set with the inode numbers that its directory may have, two while
/// it is being exchanged.
struct SetRecords: Sendable {
    let directory: FilePath

    func sets() throws(FileError) -> [ArtifactSetName] {
        try FileTree.names(in: directory).compactMap { ArtifactSetName($0) }
    }

    func write(_ inodes: [UInt64], of set: ArtifactSetName) throws(FileError) {
        try FileTree.write(inodes.map { "\($0)\n" }.joined(), to: file(of: set))
    }

    func holds(_ inode: UInt64, of set: ArtifactSetName) -> Bool {
        let text = (try? FileTree.readText(file(of: set), limit: 100)) ?? ""
        return text.split(separator: "\n").contains { UInt64($0) == inode }
    }

    func remove(_ set: ArtifactSetName) throws(FileError) { try FileTree.remove(file(of: set)) }

    /// The inode number of a directory; `nil` if there is none, or something else.
    static func inode(of path: FilePath) -> UInt64? {
        var status = stat()
        guard lstat(path.string, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { return nil }
        return UInt64(status.st_ino)
    }

    private func file(of set: ArtifactSetName) -> FilePath { directory.appending(set.description) }
}
