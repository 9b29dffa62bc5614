import BuildOSKit
import CHost
import Glibc

/// The control group that systemd delegates to a service (`Delegate=`, systemd.resource-control(5)), made ready for
/// groups of machines: a group that hands controllers on holds no processes itself, so this one moves into a leaf of it.
enum DelegatedCgroup {
    /// Does that; nothing where no group was delegated.
    ///
    /// - Throws: ``FileError``; machines can then be run without a limit of their memory.
    static func settle(root: FilePath = "/sys/fs/cgroup") throws {
        let membership = try FileTree.readText("/proc/self/cgroup")
        guard let line = membership.split(separator: "\n").first(where: { $0.hasPrefix("0::/") }) else { return }
        let group = root.pushing(FilePath(String(line.dropFirst("0::/".count))))
        // A group that merely can be written to belongs to somebody else.
        guard group != root, chost_is_delegated(group.string) == 1 else { return }
        let leaf = group.appending("agent")
        try FileTree.makeDirectory(leaf)
        try write("\(getpid())", to: leaf.appending("cgroup.procs"))
        try write("+memory", to: group.appending("cgroup.subtree_control"))
    }

    private static func write(_ text: String, to file: FilePath) throws {
        do {
            let descriptor = try FileDescriptor.open(file, .writeOnly, options: .closeOnExec)
            _ = try descriptor.closeAfter { try descriptor.writeAll(text.utf8) }
        } catch let error as Errno {
            throw FileError("write", file, error)
        }
    }
}
