import BuildOSKit
import Glibc

internal import CFiles

extension DirectoryStorage {
    /// Sends in the format `directory-1`, see ``DirectoryStream``; a difference after reading both trees.
    public func send(
        _ request: SendRequest,
        to sink: FileDescriptor,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(MachineStorageError) {
        let path = request.subvolume
        if let format = request.format, !capabilities.sends.contains(format) {
            throw .unsupported("send as '\(format)'", path, by: self)
        }
        try await stoppable(path) { stop throws(MachineStorageError) in
            let (root, record) = try Self.openToSend(path)
            defer { close(root) }
            let parent = try request.parent.map { path throws(MachineStorageError) in try Self.openToSend(path) }
            defer { if let parent { close(parent.root) } }
            let result: Result<Void, MachineStorageError> = BrokenPipeSignal.withheld {
                Result { () throws(MachineStorageError) in
                    try DirectoryStream.send(
                        FileDescriptor(rawValue: root),
                        as: .init(
                            name: path.lastComponent?.string ?? "",
                            origin: record.knownAs,
                            parent: parent?.record.knownAs
                        ),
                        parent: parent.map { FileDescriptor(rawValue: $0.root) },
                        to: StreamWriter(sink, stop: stop, progress: progress),
                        stop: stop,
                        at: path,
                        passingOver: SubvolumeTable.names
                    )
                }
            }
            try result.get()
        }
    }

    /// Receives the format `directory-1`. A parent is looked for in the directory, and in those above it up to the mount
    /// point: a plain file system has no index of identities.
    public func receive(
        from source: FileDescriptor,
        into directory: FilePath,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(MachineStorageError) -> Subvolume {
        guard try await isVolume(directory) else {
            throw MachineStorageError(.notAVolume, path: directory, cause: "its file system keeps no files")
        }
        return try await stoppable(directory) { stop throws(MachineStorageError) in
            let table = SubvolumeTable(directory)
            let work = try table.begin()
            var beginning: DirectoryStream.Beginning?
            var parent: ParentSubvolume?
            defer { if let parent { close(parent.root) } }
            let place = { beginning.map { directory.appending($0.name) } ?? directory }
            do {
                try DirectoryStream.receive(
                    StreamReader(source, stop: stop, progress: progress),
                    at: place
                ) { found in
                    beginning = found
                    guard !FileTree.exists(place()) else {
                        throw MachineStorageError(
                            .alreadyExists,
                            path: place(),
                            cause: "there is something of the stream's name already"
                        )
                    }
                    parent = try found.parent.map { try ParentSubvolume.find($0, from: directory, for: place()) }
                    return .init(
                        root: FileDescriptor(rawValue: work.descriptor),
                        parent: parent.map { FileDescriptor(rawValue: $0.root) }
                    )
                }
                guard cfiles_synchronize(work.descriptor) == 0 else { throw Errno(rawValue: errno) }
            } catch {
                try? table.abandon(work)
                throw MachineStorageError(copying: error, place())
            }
            guard let beginning else { throw MachineStorageError(.badStream, path: directory, cause: "it is empty") }
            let root = fcntl(work.descriptor, F_DUPFD_CLOEXEC, 0)
            defer { close(root) }
            do throws(MachineStorageError) {
                try table.publish(work, as: beginning.name) { inode in
                    SubvolumeRecord(
                        inode: inode,
                        own: .new(),
                        parent: parent?.record.own.uuid,
                        received: beginning.origin,
                        isReadOnly: true
                    )
                }
            } catch {
                try? table.abandon(work)
                throw error
            }
            ReadOnlyFlags.set(root)
            return Self.describe(place(), try Self.find(place()).record)
        }
    }

    private static func openToSend(
        _ path: FilePath
    ) throws(MachineStorageError) -> (root: Int32, record: SubvolumeRecord) {
        let record = try find(path).record
        guard record.isReadOnly else {
            throw MachineStorageError(
                .writable,
                path: path,
                cause: "it can be written, and so could change while it is sent"
            )
        }
        return (try open(path), record)
    }

    /// Runs a closure on a thread of its own, with a signal that is raised when the task is cancelled.
    private func stoppable<Success: Sendable>(
        _ path: FilePath,
        _ body: @escaping @Sendable (StopSignal) throws(MachineStorageError) -> Success
    ) async throws(MachineStorageError) -> Success {
        let stop: StopSignal
        do throws(Errno) { stop = try StopSignal() } catch { throw MachineStorageError(error, path, "make a signal") }
        let result: Result<Success, MachineStorageError> = await withTaskCancellationHandler {
            await DedicatedThread.run(name: "directory-stream") {
                Result { () throws(MachineStorageError) in try body(stop) }
            }
        } onCancel: {
            stop.raise()
        }
        return try result.get()
    }
}

/// A subvolume that a stream builds on.
private struct ParentSubvolume {
    let root: Int32
    let record: SubvolumeRecord

    /// Finds it by its origin: in a directory, and in those above as far as they are on the same file system.
    static func find(
        _ origin: SubvolumeOrigin,
        from directory: FilePath,
        for path: FilePath
    ) throws(MachineStorageError) -> ParentSubvolume {
        var (place, changed) = (absolute(directory), false)
        let device = device(of: place)
        while device != nil, Self.device(of: place) == device {
            for (name, record) in SubvolumeTable(place).all() {
                let isIt = record.knownAs == origin && record.isReadOnly
                if isIt {
                    return ParentSubvolume(root: try DirectoryStorage.open(place.appending(name)), record: record)
                }
                changed = changed || record.own.uuid == origin.uuid || record.received?.uuid == origin.uuid
            }
            guard place.lastComponent != nil else { break }
            place.removeLastComponent()
        }
        throw MachineStorageError(
            .noParent,
            path: path,
            cause: "the stream builds on the subvolume \(origin.uuid), which "
                + (changed ? "was changed here" : "is not here")
        )
    }

    private static func absolute(_ path: FilePath) -> FilePath {
        guard let resolved = realpath(path.string, nil) else { return path }
        defer { free(resolved) }
        return FilePath(platformString: resolved)
    }

    private static func device(of path: FilePath) -> dev_t? {
        var status = stat()
        return stat(path.string, &status) == 0 ? status.st_dev : nil
    }
}
