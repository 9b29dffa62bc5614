import BuildOSKit
import Glibc

/// A control group that limits the memory of a machine (Linux's Documentation/admin-guide/cgroup-v2.rst).
struct MemoryCgroup: Sendable {
    let path: FilePath

    /// Where groups for machines can be made, by whoever this process is; `nil` if nowhere.
    static var base: FilePath? {
        guard let membership = try? FileTree.readText("/proc/self/cgroup") else { return nil }
        return base(root: "/sys/fs/cgroup", membership: membership)
    }

    /// The group of this process, if it hands on the memory controller, or the one above it, for a process that stands
    /// in a leaf of what was delegated to it, as groups with controllers hold no processes themselves.
    static func base(root: FilePath, membership: String) -> FilePath? {
        guard FileTree.exists(root.appending("cgroup.controllers")),
            let line = membership.split(separator: "\n").first(where: { $0.hasPrefix("0::/") })
        else { return nil }
        let own = root.pushing(FilePath(String(line.dropFirst("0::/".count))))
        let above = own == root ? [] : [own.removingLastComponent()]
        return ([own] + above).first { group in
            guard let controllers = try? FileTree.readText(group.appending("cgroup.subtree_control")) else {
                return false
            }
            return controllers.split(whereSeparator: \.isWhitespace).contains("memory")
                && access(group.string, W_OK) == 0 && access(group.appending("cgroup.procs").string, W_OK) == 0
        }
    }

    /// Makes the group of a machine.
    static func make(
        for name: VirtualMachineName,
        in base: FilePath,
        limit: MemorySize
    ) throws(FileError) -> MemoryCgroup {
        let group = MemoryCgroup(path: base.appending("buildos-\(name)"))
        try FileTree.makeDirectory(group.path)
        do throws(FileError) {
            try group.write("\(limit.kibibytes << 10)", to: "memory.max")
        } catch {
            group.remove()
            throw error
        }
        return group
    }

    /// Puts a process into it.
    func add(_ process: Int32) throws(FileError) { try write("\(process)", to: "cgroup.procs") }

    /// Whether the kernel killed somebody in it for want of memory.
    var ranOutOfMemory: Bool {
        guard let events = try? FileTree.readText(path.appending("memory.events")) else { return false }
        return events.split(separator: "\n").contains { $0.hasPrefix("oom_kill ") && $0 != "oom_kill 0" }
    }

    /// Removes it; what is not empty stays.
    func remove() { rmdir(path.string) }

    private func write(_ text: String, to file: String) throws(FileError) {
        let path = path.appending(file)
        do {
            let descriptor = try FileDescriptor.open(path, .writeOnly, options: .closeOnExec)
            _ = try descriptor.closeAfter { try descriptor.writeAll(text.utf8) }
        } catch {
            throw FileError("write", path, error as? Errno ?? .ioError)
        }
    }
}
