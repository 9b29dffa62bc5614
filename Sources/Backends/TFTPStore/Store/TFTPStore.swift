import BuildOSKit
import CTFTPFiles
import Glibc

/// Keeps sets of files in a directory, and serves them by TFTP.
///
/// A set `s` is a symbolic link `root/s` to `root/.sets/s.<n>`; what is being put together is in
/// `root/.staging`. A new set is made durable, moved beside the old one, and the link replaced by rename(2):
/// whoever opens a file by its path gets it from the old set or from the new one.
///
/// One process may have one store for a directory. Its operations run one after the other, on a thread of the
/// store's own.
public actor TFTPStore: ArtifactStore {
    public nonisolated let backendName = "tftp"
    public nonisolated let capabilities = ArtifactStoreCapabilities(atomicSwitch: true, serves: ["tftp"])

    private let root: FilePath
    private let executor: BlockingExecutor
    /// No staging directory has the name of an earlier one, so none can be taken for another.
    private var lastNumber = 0
    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private var sets: FilePath { root.appending(".sets") }
    private var stagings: FilePath { root.appending(".staging") }

    /// Opens the store in a directory, which is made if it isn't there.
    ///
    /// - Throws: ``BuildOSKit/ArtifactStoreError``, or `Errno` if the system has no thread left.
    public init(root: FilePath) throws {
        self.root = root
        executor = try BlockingExecutor(name: "tftp-store")
        for directory in [root, root.appending(".sets"), root.appending(".staging")] {
            do {
                try FileTree.makeDirectory(directory)
            } catch {
                throw ArtifactStoreError(error)
            }
        }
    }

    public func recover() throws(ArtifactStoreError) {
        try translating { () throws(FileError) in
            for name in try FileTree.names(in: stagings) { try FileTree.remove(stagings.appending(name)) }
            for name in try FileTree.names(in: sets) {
                guard let stored = StoredName(name), target(of: stored.set) == stored else {
                    try FileTree.remove(sets.appending(name))
                    continue
                }
            }
        }
    }

    public func begin(_ set: ArtifactSetName) throws(ArtifactStoreError) -> ArtifactStaging {
        try translating { () throws(FileError) in
            for name in try FileTree.names(in: stagings) where StoredName(name)?.set == set {
                try FileTree.remove(stagings.appending(name))
            }
            let used = try FileTree.names(in: sets).compactMap(StoredName.init).filter { $0.set == set }
            lastNumber = max(lastNumber, used.map(\.number).max() ?? 0) + 1
            let next = StoredName(set: set, number: lastNumber)
            let directory = stagings.appending(next.description)
            try FileTree.makeDirectory(directory)
            return ArtifactStaging(set: set, directory: directory)
        }
    }

    public func publish(_ staging: ArtifactStaging) throws(ArtifactStoreError) -> FilePath {
        guard staging.directory.removingLastComponent() == stagings,
            let name = staging.directory.lastComponent.flatMap({ StoredName($0.string) }), name.set == staging.set
        else {
            throw ArtifactStoreError(path: staging.directory, cause: "it is not a staging directory of this store")
        }
        guard FileTree.isDirectory(staging.directory) else {
            throw ArtifactStoreError(
                path: staging.directory,
                cause: "the staging directory is gone",
                remedy: "two writers of one set? begin anew"
            )
        }
        let link = root.appending(staging.set.description)
        let earlier = target(of: staging.set)
        if earlier == nil, FileTree.exists(link) {
            throw ArtifactStoreError(
                path: link,
                cause: "there is something that this store did not make",
                remedy: "move it away"
            )
        }
        try translating { () throws(FileError) in
            try DurableTree.synchronize(staging.directory)
            let kept = sets.appending(name.description)
            try move(staging.directory, to: kept)
            FileTree.synchronize(sets)
            do throws(FileError) {
                try switchLink(link, to: name)
            } catch {
                // The set is complete, but was never seen: it goes as a staging directory goes.
                try? FileTree.remove(kept)
                throw error
            }
            // Readers that have files of it open read on to their end.
            if let earlier { try? FileTree.remove(sets.appending(earlier.description)) }
        }
        return link
    }

    public func abandon(_ staging: ArtifactStaging) {
        guard staging.directory.removingLastComponent() == stagings else { return }
        try? FileTree.remove(staging.directory)
    }

    public func published(_ set: ArtifactSetName) throws(ArtifactStoreError) -> FilePath? {
        guard let name = target(of: set), FileTree.isDirectory(sets.appending(name.description)) else { return nil }
        return root.appending(set.description)
    }

    public func remove(_ set: ArtifactSetName) throws(ArtifactStoreError) {
        guard let name = target(of: set) else { return }
        try translating { () throws(FileError) in
            try FileTree.remove(root.appending(set.description))
            FileTree.synchronize(root)
            try FileTree.remove(sets.appending(name.description))
        }
    }

    /// Starts a TFTP server (RFC 1350, 2347 to 2349, 7440), which has nothing to do with this store but its files.
    ///
    /// - Throws: ``BuildOSKit/ArtifactStoreError`` if a directory isn't there or the end point can't be had.
    public nonisolated func serve(
        _ configuration: ArtifactServerConfiguration
    ) async throws(ArtifactStoreError) -> any ArtifactServer {
        try await TFTPServer.start(configuration)
    }

    /// Which stored set the link of a set leads to; `nil` if there is no link made by a store.
    private func target(of set: ArtifactSetName) -> StoredName? {
        var buffer = [CChar](repeating: 0, count: 512)
        let count = readlink(root.appending(set.description).string, &buffer, buffer.count)
        guard count > 0 else { return nil }
        let text = String(decoding: buffer.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
        guard text.hasPrefix(".sets/"), let name = StoredName(String(text.dropFirst(6))), name.set == set else {
            return nil
        }
        return name
    }

    private func switchLink(_ link: FilePath, to name: StoredName) throws(FileError) {
        let temporary = stagings.appending("\(name).link")
        try FileTree.remove(temporary)
        guard symlink(".sets/\(name)", temporary.string) == 0 else {
            throw FileError("make the link", temporary, Errno(rawValue: errno))
        }
        do throws(FileError) {
            try move(temporary, to: link)
        } catch {
            try? FileTree.remove(temporary)
            throw error
        }
        FileTree.synchronize(root)
    }

    private func move(_ path: FilePath, to destination: FilePath) throws(FileError) {
        guard rename(path.string, destination.string) == 0 else {
            throw FileError("move to \(destination)", path, Errno(rawValue: errno))
        }
    }

    private func translating<Result>(
        _ body: () throws(FileError) -> Result
    ) throws(ArtifactStoreError) -> Result {
        do throws(FileError) {
            return try body()
        } catch {
            throw ArtifactStoreError(error)
        }
    }
}

/// The name of a directory that holds one state of a set: `<set>.<number>`.
private struct StoredName: Equatable, CustomStringConvertible {
    let set: ArtifactSetName
    let number: Int

    init(set: ArtifactSetName, number: Int) {
        self.set = set
        self.number = number
    }

    init?(_ text: String) {
        guard let dot = text.lastIndex(of: "."), let set = ArtifactSetName(String(text[..<dot])),
            let number = Int(text[dot...].dropFirst()), number > 0
        else { return nil }
        self.init(set: set, number: number)
        guard description == text else { return nil }
    }

    var description: String { "\(set).\(number)" }
}

extension ArtifactStoreError {
    fileprivate init(_ error: FileError) {
        self.init(path: error.path, cause: error.cause, remedy: error.remedy)
    }
}

/// Offers ``TFTPStore``.
public struct TFTPStoreProvider: ArtifactStoreProvider {
    public let identity = BackendIdentity(
        name: "tftp",
        interface: .artifactStore,
        summary: "sets of files in a directory, with a TFTP server of its own"
    )
    public let capabilities = ArtifactStoreCapabilities(atomicSwitch: true, serves: ["tftp"])

    /// Creates a provider.
    public init() {}

    public func preflight() async -> [PreflightFinding] {
        // An absolute path never stays beneath a directory: a kernel that knows the call refuses it otherwise.
        guard ctftp_open_beneath(AT_FDCWD, "/") == -ENOSYS else { return [] }
        return [
            PreflightFinding(
                problem: "the kernel has no openat2(2), without which nothing is served",
                remedy: "use Linux 5.6 or later, and a container whose system call filter lets it through"
            )
        ]
    }

    public func makeStore(root: FilePath) throws -> any ArtifactStore { try TFTPStore(root: root) }
}
