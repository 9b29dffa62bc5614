import BuildOSKit
import Glibc

/// What this backend keeps in a machine's directory, so that whoever finds the machine later, or finds that it died, can
/// remove what belongs to it.
struct MachineNote: Hashable {
    /// The domain.
    let uuid: String
    /// The human monitor's socket, which QEMU leaves behind when it is killed.
    let monitorSocket: FilePath?
    /// The serial port's, which libvirt removes unless it is away when the machine ends.
    let serialSocket: FilePath?

    private static let limit = 8192
    private static func path(in directory: FilePath) -> FilePath { directory.appending("libvirt-domain") }

    /// Reads the note of a directory; `nil` if there is none, or none that can be understood.
    static func read(in directory: FilePath) -> MachineNote? {
        guard let text = try? FileTree.readText(path(in: directory), limit: limit) else { return nil }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard lines.count >= 2, lines[0].utf8.count == 36 else { return nil }
        let sockets = lines[1...].prefix(2).map { $0.isEmpty ? nil : FilePath($0) }
        return MachineNote(
            uuid: lines[0],
            monitorSocket: sockets[0],
            serialSocket: sockets.count > 1 ? sockets[1] : nil
        )
    }

    /// Writes it, unless there is one. Not with fsync(2): the machine doesn't outlive a power cut either.
    ///
    /// - Throws: `Errno`, `EEXIST` if there is one.
    func write(in directory: FilePath) throws(Errno) {
        let path = Self.path(in: directory)
        // Made under another name: half a note would keep the directory for ever.
        let temporary = FilePath("\(path.string).\(uuid)")
        defer { unlink(temporary.string) }
        do {
            let file = try FileDescriptor.open(
                temporary,
                .writeOnly,
                options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: [.ownerReadWrite]
            )
            let text = [uuid, monitorSocket?.string ?? "", serialSocket?.string ?? "", ""].joined(separator: "\n")
            try file.closeAfter { _ = try file.writeAll(text.utf8) }
            guard link(temporary.string, path.string) == 0 else { throw Errno(rawValue: errno) }
        } catch {
            throw error as? Errno ?? .ioError
        }
    }

    /// Whether somebody listens on a socket, or its path is something else's. A socket that nobody listens on is one that
    /// QEMU replaces.
    static func isTaken(_ socket: FilePath) async -> Bool {
        var status = stat()
        guard lstat(socket.string, &status) == 0 else { return false }
        guard status.st_mode & S_IFMT == S_IFSOCK else { return true }
        return await DedicatedThread.run(name: "libvirt-socket") {
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            guard socket.string.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { return true }
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: socket.string.utf8) }
            let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0 else { return false }
            defer { close(descriptor) }
            return withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
                }
            }
        }
    }

    /// Removes it with what it names; what is gone already is no error, and what can't be removed is left.
    func removeAll(in directory: FilePath) {
        for socket in [monitorSocket, serialSocket].compactMap({ $0 }) {
            var status = stat()
            if lstat(socket.string, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK { unlink(socket.string) }
        }
        unlink(Self.path(in: directory).string)
    }
}
