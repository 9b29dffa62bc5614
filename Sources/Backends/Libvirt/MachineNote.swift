import BuildOSKit
import Glibc

/// What this backend keeps in a machine's directory, so that whoever finds the machine later, or finds that it died, can
/// remove what belongs to it.
struct MachineNote: Hashable {
    /// The domain.
    let uuid: String
    /// The human monitor's socket, which QEMU leaves behind when it is killed.
    let monitorSocket: FilePath?

    private static let limit = 8192
    private static func path(in directory: FilePath) -> FilePath { directory.appending("libvirt-domain") }

    /// Reads the note of a directory; `nil` if there is none, or none that can be understood.
    static func read(in directory: FilePath) -> MachineNote? {
        guard let text = try? FileTree.readText(path(in: directory), limit: limit) else { return nil }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard lines.count >= 2, lines[0].utf8.count == 36 else { return nil }
        return MachineNote(uuid: lines[0], monitorSocket: lines[1].isEmpty ? nil : FilePath(lines[1]))
    }

    /// Writes it. Not with fsync(2): the machine doesn't outlive a power cut either.
    func write(in directory: FilePath) throws(Errno) {
        do {
            let file = try FileDescriptor.open(
                Self.path(in: directory),
                .writeOnly,
                options: [.create, .truncate, .noFollow, .closeOnExec],
                permissions: [.ownerReadWrite]
            )
            try file.closeAfter { _ = try file.writeAll("\(uuid)\n\(monitorSocket?.string ?? "")\n".utf8) }
        } catch {
            throw error as? Errno ?? .ioError
        }
    }

    /// Removes it with what it names; what is gone already is no error, and what can't be removed is left.
    func removeAll(in directory: FilePath) {
        if let monitorSocket {
            var status = stat()
            if lstat(monitorSocket.string, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK {
                unlink(monitorSocket.string)
            }
        }
        unlink(Self.path(in: directory).string)
    }
}
