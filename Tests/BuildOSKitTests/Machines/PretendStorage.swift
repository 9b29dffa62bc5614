import BuildOSKit

/// Not a storage: plain directories of which a table says that they are subvolumes. For tests of policy alone; what
/// btrfs does is tested on btrfs.
actor PretendStorage: MachineStorage {
    struct Attributes {
        var isReadOnly = true
        var receivedUUID: String?
    }

    nonisolated let backendName = "pretend"
    nonisolated let capabilities = MachineStorageCapabilities(copyOnWrite: false, enforcedReadOnly: false)
    private var table: [FilePath: Attributes] = [:]
    private var undeletable: Set<FilePath> = []
    private var strangers: Set<FilePath> = []

    func add(_ path: FilePath, readOnly: Bool = true, received: String? = "uuid") throws {
        try FileTree.makeDirectory(path.appending("content"))
        table[path] = Attributes(isReadOnly: readOnly, receivedUUID: received)
    }

    func refuseDeletion(of path: FilePath) { undeletable.insert(path) }
    func declareStranger(_ volume: FilePath) { strangers.insert(volume) }

    func isVolume(_ directory: FilePath) -> Bool { !strangers.contains(directory) }

    func subvolumes(in directory: FilePath) throws(MachineStorageError) -> [Subvolume] {
        table.keys.filter { $0.removingLastComponent() == directory }.sorted { $0.string < $1.string }.compactMap(
            describe
        )
    }

    func subvolume(at path: FilePath) throws(MachineStorageError) -> Subvolume {
        guard let subvolume = describe(path) else {
            throw MachineStorageError(.notASubvolume, path: path, cause: "not in the table")
        }
        return subvolume
    }

    func space(of directory: FilePath) -> VolumeSpace { VolumeSpace(total: 1 << 40, available: 1 << 40) }
    func synchronize(_ directory: FilePath) {}

    func create(_ path: FilePath) throws(MachineStorageError) { throw unsupported(path) }
    func snapshot(_ source: FilePath, to destination: FilePath, readOnly: Bool) throws(MachineStorageError) {
        throw unsupported(source)
    }
    func setReadOnly(_ readOnly: Bool, _ path: FilePath) throws(MachineStorageError) { throw unsupported(path) }

    func delete(_ path: FilePath) throws(MachineStorageError) {
        guard !undeletable.contains(path), table.removeValue(forKey: path) != nil else {
            throw MachineStorageError(.busy, path: path, cause: "it is in use")
        }
        do { try FileTree.remove(path) } catch {
            throw MachineStorageError(.other, path: path, cause: "\(error)")
        }
    }

    private func describe(_ path: FilePath) -> Subvolume? {
        table[path].map {
            Subvolume(
                path: path,
                isReadOnly: $0.isReadOnly,
                uuid: path.string,
                parentUUID: nil,
                receivedUUID: $0.receivedUUID
            )
        }
    }

    private func unsupported(_ path: FilePath) -> MachineStorageError {
        MachineStorageError(.other, path: path, cause: "the pretended storage does not do that")
    }
}
