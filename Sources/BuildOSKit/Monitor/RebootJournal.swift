/// For which build id a host last rebooted, and how often in a row.
public struct RebootRecord: Sendable, Hashable {
    /// The build id it hoped to come up with.
    public let buildID: BuildID
    /// How often it rebooted for that one.
    public let count: Int

    /// Creates a record.
    public init(buildID: BuildID, count: Int) {
        self.buildID = buildID
        self.count = count
    }
}

/// Remembers across boots what a host rebooted for, on its state disk if it has one. So a boot server that still serves
/// the old image, or a new one that falls back to it, makes a host reboot now and then, not all the time.
public struct RebootJournal: Sendable {
    /// Where it is on a host.
    public static let standard: FilePath = "/state/buildos/reboot"

    private let path: FilePath

    /// Creates a journal in a file.
    public init(_ path: FilePath = standard) { self.path = path }

    /// What was noted last; `nil` if nothing was, or it can't be read: state is not precious (STOR-5).
    public func last() -> RebootRecord? {
        guard let text = try? FileTree.readText(path, limit: 4096) else { return nil }
        let parts = text.prefix { !$0.isNewline }.split(separator: " ")
        guard parts.count == 2, let id = BuildID(parts[0]), let count = MachineRevision.number(parts[1]), count > 0
        else {
            return nil
        }
        return RebootRecord(buildID: id, count: count)
    }

    /// Notes that the host is about to reboot for a build id. A host without a state disk notes nothing.
    ///
    /// - Throws: ``FileError``
    public func note(_ id: BuildID) throws(FileError) {
        let directory = path.removingLastComponent()
        guard FileTree.isDirectory(directory.removingLastComponent()) else { return }
        let before = last().map { $0.buildID == id ? $0.count : 0 } ?? 0
        try FileTree.makeDirectory(directory)
        try FileTree.write("\(id) \(min(before + 1, 1000))\n", to: path)
    }
}
