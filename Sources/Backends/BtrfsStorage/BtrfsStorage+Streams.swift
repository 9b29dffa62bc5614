import BuildOSKit
import Glibc

internal import CBtrfsUtil

/// Sending and receiving take threads of their own, so that snapshots can be made meanwhile.
extension BtrfsStorage {
    /// Sends by the kernel's own stream format: `btrfs-1`, or `btrfs-2`, in which data that is stored compressed stays so.
    ///
    /// Needs root. A parent must lie on the same file system.
    public nonisolated func send(
        _ request: SendRequest,
        to sink: FileDescriptor,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(MachineStorageError) {
        let path = request.subvolume
        let name = request.format ?? capabilities.sends.first ?? BtrfsStreamFormat.one.rawValue
        guard let format = BtrfsStreamFormat(rawValue: name), capabilities.sends.contains(name) else {
            throw .unsupported("send as '\(name)'", path, by: self)
        }
        let stop = try Self.makeStopSignal(path)
        let subvolume = try await openToSend(path)
        defer { try? subvolume.close() }
        var parentID: UInt64 = 0
        if let parent = request.parent {
            let root = try await openToSend(parent)
            defer { try? root.close() }
            guard btrfs_util_subvolume_id_fd(root.rawValue, &parentID) == BTRFS_UTIL_OK else {
                throw MachineStorageError(Errno(rawValue: errno), parent, "read the subvolume")
            }
            guard Self.isSameFileSystem(subvolume, root) else {
                throw MachineStorageError(.noParent, path: parent, cause: "it is on another file system than \(path)")
            }
        }
        let sender = StreamSender(path: path, subvolume: subvolume, parent: parentID, version: format.version)
        let result: Result<Void, MachineStorageError> = await withTaskCancellationHandler {
            await sender.run(to: sink, stop: stop, progress: progress)
        } onCancel: {
            stop.raise()
        }
        try result.get()
    }

    /// Receives streams of versions 1 and 2 of the kernel's protocol by system calls of its own, see ``StreamReceiver``, and
    /// those of plain directories, see ``DirectoryStreamReceiver``.
    ///
    /// Needs root.
    public nonisolated func receive(
        from source: FileDescriptor,
        into directory: FilePath,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(MachineStorageError) -> Subvolume {
        guard FileTree.exists(directory) else {
            throw MachineStorageError(.notFound, path: directory, cause: "there is no such directory")
        }
        guard try await isVolume(directory) else {
            throw MachineStorageError(.notAVolume, path: directory, cause: "it is not on a btrfs file system")
        }
        let stop = try Self.makeStopSignal(directory)
        let result: Result<FilePath, MachineStorageError> = await withTaskCancellationHandler {
            await DedicatedThread.run(name: "btrfs-receive") {
                Result { () throws(MachineStorageError) in
                    let reader = StreamReader(source, stop: stop, progress: progress)
                    let isPortable: Bool
                    do throws(StreamFailure) {
                        isPortable = try DirectoryStreamReceiver.isMeant(by: reader)
                    } catch {
                        throw MachineStorageError(receiving: error, directory)
                    }
                    return isPortable
                        ? try DirectoryStreamReceiver(reader, into: directory).run()
                        : try StreamReceiver(reader, into: directory).run()
                }
            }
        } onCancel: {
            stop.raise()
        }
        return try await subvolume(at: result.get())
    }

    private nonisolated static func makeStopSignal(_ path: FilePath) throws(MachineStorageError) -> StopSignal {
        do throws(Errno) {
            return try StopSignal()
        } catch {
            throw MachineStorageError(error, path, "make a signal")
        }
    }

    private nonisolated func openToSend(_ path: FilePath) async throws(MachineStorageError) -> FileDescriptor {
        guard try await subvolume(at: path).isReadOnly else {
            throw MachineStorageError(
                .writable,
                path: path,
                cause: "it can be written, and so could change while it is sent"
            )
        }
        do {
            return try FileDescriptor.open(path, .readOnly, options: [.directory, .noFollow, .closeOnExec])
        } catch {
            throw MachineStorageError(error as? Errno ?? .ioError, path, "open the subvolume")
        }
    }

    /// Each subvolume has a device number of its own; what they share is the identity of the file system.
    private nonisolated static func isSameFileSystem(_ one: FileDescriptor, _ other: FileDescriptor) -> Bool {
        cbtrfsutil_is_same(one.rawValue, other.rawValue) == 1
    }
}

/// The stream formats by the names that capabilities give them.
enum BtrfsStreamFormat: String, CaseIterable {
    case two = "btrfs-2"
    case one = "btrfs-1"

    /// The version of the protocol.
    var version: UInt32 {
        switch self {
        case .one: 1
        case .two: 2
        }
    }

    /// What this kernel knows, best first.
    static var known: [Self] { allCases.filter { $0.version <= kernelVersion } }

    /// The version of the protocol that the kernel knows.
    private static var kernelVersion: UInt32 {
        if let text = try? FileTree.readText("/sys/fs/btrfs/features/send_stream_version"),
            let version = UInt32(text.prefix { $0.isNumber })
        {
            return version
        }
        // As long as btrfs isn't loaded, the kernel's own version tells: 2 came with Linux 6.0.
        let release = (try? FileTree.readText("/proc/sys/kernel/osrelease")) ?? ""
        return UInt32(release.prefix { $0.isNumber }) ?? 0 >= 6 ? 2 : 1
    }
}
