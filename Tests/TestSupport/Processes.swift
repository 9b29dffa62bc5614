import BuildOSKit
import Glibc

/// Processes of this machine, by what proc(5) tells of them.
public enum Processes {
    /// Those in whose command lines all of these are, but not this one.
    public static func all(withArguments wanted: [String]) -> [Int32] {
        ((try? FileTree.names(in: "/proc")) ?? []).compactMap { name in
            guard let process = Int32(name), process != getpid(),
                let line = try? FileTree.read(FilePath("/proc/\(name)/cmdline"))
            else { return nil }
            let text = String(decoding: line, as: UTF8.self)
            return wanted.allSatisfy { text.contains($0) } ? process : nil
        }
    }

    /// The children of a process that have a name, of which the kernel keeps 15 bytes.
    public static func children(of parent: Int32, named wanted: String) -> [Int32] {
        ((try? FileTree.names(in: "/proc")) ?? []).compactMap { name in
            guard let process = Int32(name), let status = Status(FilePath("/proc/\(name)/stat")), status.name == wanted
            else {
                return nil
            }
            return status.parent == parent ? process : nil
        }
    }

    /// Whether a signal has stopped a process with all its threads.
    public static func isStopped(_ process: Int32) -> Bool {
        let threads = FilePath("/proc/\(process)/task")
        guard let names = try? FileTree.names(in: threads), !names.isEmpty else { return false }
        return names.allSatisfy { Status(threads.appending($0).appending("stat"))?.state == "T" }
    }

    /// How long a process has had processors so far, in seconds; 0 if there is none.
    public static func processorSeconds(of process: Int32) -> Double {
        let ticks = Status(FilePath("/proc/\(process)/stat"))?.ticks ?? 0
        return Double(ticks) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// The beginning of a line of proc(5), "stat".
    private struct Status {
        let name: Substring
        let state: Substring
        let parent: Int32
        /// Clock ticks as a user and in the kernel.
        let ticks: Int

        init?(_ path: FilePath) {
            guard let text = try? FileTree.readText(path),
                let open = text.firstIndex(of: "("), let end = text.lastIndex(of: ")")
            else { return nil }
            let fields = text[text.index(after: end)...].split(separator: " ")
            guard fields.count > 12, let parent = Int32(fields[1]), let user = Int(fields[11]),
                let system = Int(fields[12])
            else { return nil }
            name = text[text.index(after: open)..<end]
            state = fields[0]
            self.parent = parent
            ticks = user + system
        }
    }
}
