import BuildOSKit
import CExchange

/// Keeps every set as a plain directory `root/<set>`, which is exchanged with the new one in one step.
///
/// What is being put together is in `root/.staging/<set>/<n>`. `root/.published/<set>` holds the inode numbers that the
/// set's directory may have, so that one that somebody else made is neither replaced nor removed.
///
/// The calls block, so the actor runs on a thread of its own.
public actor ExchangeStore: ArtifactStore {
    static let offered = ArtifactStoreCapabilities(atomicSwitch: true, serves: [])

    public nonisolated let backendName = "exchange"
    public nonisolated let capabilities = ExchangeStore.offered
    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let executor: BlockingExecutor
    private let root: FilePath
    private let records: SetRecords
    /// No staging directory has the name of an earlier one, so none can be taken for another.
    private var lastNumber = 0

    private var stagings: FilePath { root.appending(".staging") }

    /// Opens the store in a directory, which is made if it isn't there.
    ///
    /// - Throws: `ArtifactStoreError`, also if the file system can't exchange directories; `Errno` if the system has no
    ///   thread left.
    public init(root: FilePath) throws {
        self.root = root
        executor = try BlockingExecutor(name: "exchange-store")
        records = SetRecords(directory: root.appending(".published"))
        try translating { () throws(FileError) in
            for name in [".staging", ".published", ".probe/a", ".probe/b"] {
                try FileTree.makeDirectory(root.appending(name))
            }
        }
        let reason = exchange_paths(root.appending(".probe/a").string, root.appending(".probe/b").string)
        try translating { () throws(FileError) in try FileTree.remove(root.appending(".probe")) }
        guard reason == 0 else {
            throw ArtifactStoreError(
                path: root,
                cause: "its file system can't exchange two directories: \(Errno(rawValue: reason))",
                remedy: "choose a directory on ext4, btrfs, xfs or tmpfs"
            )
        }
    }

    public func recover() throws(ArtifactStoreError) {
        try translating { () throws(FileError) in
            for name in try FileTree.names(in: stagings) { try FileTree.remove(stagings.appending(name)) }
            for set in try records.sets() {
                // Which of two directories is there tells whether the exchange came before the crash.
                if let inode = publishedInode(set) {
                    try records.write([inode], of: set)
                } else {
                    try records.remove(set)
                }
            }
        }
    }

    public func begin(_ set: ArtifactSetName) throws(ArtifactStoreError) -> ArtifactStaging {
        let place = stagings.appending(set.description)
        lastNumber += 1
        let directory = place.appending("\(lastNumber)")
        try translating { () throws(FileError) in
            try FileTree.remove(place)
            try FileTree.makeDirectory(directory)
        }
        return ArtifactStaging(set: set, directory: directory)
    }

    public func publish(_ staging: ArtifactStaging) throws(ArtifactStoreError) -> FilePath {
        guard isOwn(staging), let new = SetRecords.inode(of: staging.directory) else {
            throw ArtifactStoreError(path: staging.directory, cause: "it is not a staging directory of this store")
        }
        let target = root.appending(staging.set.description)
        let old = publishedInode(staging.set)
        try check("make durable", staging.directory, exchange_sync(staging.directory.string))
        try translating { () throws(FileError) in
            try records.write([old, new].compactMap(\.self), of: staging.set)
        }
        let reason =
            old == nil
            ? exchange_move_new(staging.directory.string, target.string)
            : exchange_paths(staging.directory.string, target.string)
        guard reason != Errno.fileExists.rawValue else {
            try translating { () throws(FileError) in try records.remove(staging.set) }
            throw ArtifactStoreError(
                path: target,
                cause: "there is something that this store did not make",
                remedy: "move it away"
            )
        }
        try check("put in place", target, reason)
        FileTree.synchronize(root)
        try translating { () throws(FileError) in
            try records.write([new], of: staging.set)
            // By now the old directory, if there was one. Readers that have files of it open read on to their end.
            try FileTree.remove(staging.directory)
        }
        return target
    }

    public func abandon(_ staging: ArtifactStaging) {
        if isOwn(staging) { try? FileTree.remove(staging.directory) }
    }

    public func published(_ set: ArtifactSetName) throws(ArtifactStoreError) -> FilePath? {
        publishedInode(set) == nil ? nil : root.appending(set.description)
    }

    public func remove(_ set: ArtifactSetName) throws(ArtifactStoreError) {
        guard publishedInode(set) != nil else { return }
        lastNumber += 1
        let away = stagings.appending(".removed-\(lastNumber)")
        try check("take away", away, exchange_move_new(root.appending(set.description).string, away.string))
        FileTree.synchronize(root)
        try translating { () throws(FileError) in
            try records.remove(set)
            try FileTree.remove(away)
        }
    }

    /// The inode number of a set's directory; `nil` if it isn't there, or not this store's.
    private func publishedInode(_ set: ArtifactSetName) -> UInt64? {
        guard let inode = SetRecords.inode(of: root.appending(set.description)), records.holds(inode, of: set) else {
            return nil
        }
        return inode
    }

    private func isOwn(_ staging: ArtifactStaging) -> Bool {
        staging.directory.removingLastComponent() == stagings.appending(staging.set.description)
    }

    private func check(_ operation: String, _ path: FilePath, _ reason: Int32) throws(ArtifactStoreError) {
        guard reason != 0 else { return }
        try translating { () throws(FileError) in throw FileError(operation, path, Errno(rawValue: reason)) }
    }
}

private func translating<Result>(_ body: () throws(FileError) -> Result) throws(ArtifactStoreError) -> Result {
    do throws(FileError) {
        return try body()
    } catch {
        throw ArtifactStoreError(path: error.path, cause: error.cause, remedy: error.remedy)
    }
}
