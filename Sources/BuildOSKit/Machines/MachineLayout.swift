import Glibc

/// The directories that hold a host's build machines: `<root>/<volume>/<machine>/` (STOR-2, MACH-1).
public struct MachineLayout: Sendable, Hashable {
    /// The directory of all volumes.
    public let root: FilePath

    /// Creates the layout under a directory.
    public init(root: FilePath = "/build/machines") { self.root = root }

    /// The volumes' directories, hidden ones passed over. Links are not followed.
    public func volumes() throws(FileError) -> [FilePath] { try Self.directories(in: root).map { root.appending($0) } }

    /// The machines of a volume with their directories. Whatever isn't a machine's name, or not a directory, is
    /// passed over.
    public static func machines(in volume: FilePath) throws(FileError) -> [(name: MachineName, directory: FilePath)] {
        try directories(in: volume).compactMap { name in
            (try? MachineName(name)).map { ($0, volume.appending(name)) }
        }
    }

    /// The builds that run, by their temporary snapshots: what a reboot waits for (BOOT-11).
    ///
    /// - Throws: ``FileError`` if a directory can't be read; a directory that isn't there holds nothing.
    public func machinesInUse() throws(FileError) -> [MachineInUse] {
        var found: [MachineInUse] = []
        do {
            for volume in try volumes() {
                for (name, directory) in try Self.machines(in: volume) {
                    for entry in try Self.directories(in: directory) {
                        if case .temporary(let toolchain, _) = MachineEntry(entry, of: name) {
                            found.append(MachineInUse(snapshot: entry, toolchain: toolchain))
                        }
                    }
                }
            }
        } catch  where error.errno == .noSuchFileOrDirectory {}
        return found
    }

    /// The names of the directories in a directory, hidden ones and links passed over.
    static func directories(in directory: FilePath) throws(FileError) -> [String] {
        try FileTree.names(in: directory).filter {
            !$0.hasPrefix(".") && FileKind(directory.appending($0)) == .directory
        }
    }
}

/// What lies at a path, links not followed.
enum FileKind: Sendable, Hashable {
    case directory, link, other

    /// `nil` if there is nothing, or it can't be looked at.
    init?(_ path: FilePath) {
        var status = stat()
        guard lstat(path.string, &status) == 0 else { return nil }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: self = .directory
        case S_IFLNK: self = .link
        default: self = .other
        }
    }

    /// Where a link points; `nil` if it isn't a link.
    static func target(ofLink path: FilePath) -> String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(path.string, &buffer, buffer.count)
        guard count > 0 else { return nil }
        return String(decoding: buffer.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
