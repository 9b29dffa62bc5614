import BtrfsStorage
import BuildOSKit
import DirectoryStorage

/// The machines of every volume under a directory, a line each, with their images below.
struct MachineTable {
    private(set) var lines: [String] = []

    /// Looks at a directory.
    ///
    /// - Throws: `FileError`, `MachineStorageError`
    init(of root: FilePath) async throws {
        for volume in try MachineLayout(root: root).volumes() {
            let storage = try await Self.storage(of: volume)
            for (name, directory) in try MachineLayout.machines(in: volume) {
                lines.append("\(name) in \(volume) (\(storage.backendName))")
                for subvolume in try await storage.subvolumes(in: directory) {
                    guard let entry = MachineEntry(subvolume.name, of: name) else { continue }
                    lines.append("    \(Self.words(for: entry))\(subvolume.isReadOnly ? "" : ", writable")")
                }
            }
        }
    }

    /// The first storage that is at home on the volume: plain directories are at home everywhere.
    private static func storage(of volume: FilePath) async throws -> any MachineStorage {
        let btrfs = try BtrfsStorage()
        if try await btrfs.isVolume(volume) { return btrfs }
        return DirectoryStorage()
    }

    private static func words(for entry: MachineEntry) -> String {
        switch entry {
        case .initial(let revision): "image \(revision)"
        case .current(let version): "link of version \(version)"
        case .bootstrapped(let toolchain): "bootstrapped for toolchain \(toolchain)"
        case .temporary(let toolchain, let suffix): "build \(suffix) with toolchain \(toolchain)"
        }
    }
}
