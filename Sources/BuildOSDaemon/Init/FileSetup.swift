import BuildOSKit
import Glibc

/// Writes the files of a plan.
struct FileSetup {
    /// What comes before each path: empty on a host.
    let root: String

    /// Writes files, making the directories they are in.
    ///
    /// - Throws: ``FileError``
    func write(_ files: [HostFile]) throws(FileError) {
        let owner = AccountLookup.build
        for file in files {
            let path = FilePath(root + file.path.string)
            let directory = path.removingLastComponent()
            try FileTree.makeDirectory(directory)
            try FileTree.write(file.content, to: path, permissions: file.permissions)
            guard file.isOwnedByBuild, root.isEmpty else { continue }
            for path in [directory, path] {
                guard chown(path.string, owner.user, owner.group) == 0 else {
                    throw FileError("give to user build", path, Errno(rawValue: errno))
                }
            }
        }
    }
}
