import BuildOSKit
import Glibc

/// The QEMU process of a domain, where libvirt runs it on this machine. libvirt itself doesn't tell its number.
enum HypervisorProcess {
    /// Finds it by the identity on its command line (proc(5)).
    static func find(uuid: String) -> Int32? {
        guard let names = try? FileTree.names(in: "/proc") else { return nil }
        // The newest first, as this is asked after a start.
        for process in names.compactMap({ Int32($0) }).sorted(by: >) {
            guard let bytes = try? FileTree.read(FilePath("/proc/\(process)/cmdline"), limit: 1 << 20) else { continue }
            let arguments = bytes.split(separator: 0)
            guard let option = arguments.firstIndex(where: { $0.elementsEqual("-uuid".utf8) }) else { continue }
            if arguments.dropFirst(option + 1).first?.elementsEqual(uuid.utf8) == true { return process }
        }
        return nil
    }

    /// Gives every thread of a process a nice value; threads that these start have it too.
    static func setNice(_ nice: Int, process: Int32) throws(LibvirtFailure) {
        let threads: [String]
        do throws(FileError) {
            threads = try FileTree.names(in: FilePath("/proc/\(process)/task"))
        } catch {
            throw .outside("\(error)")
        }
        for thread in threads.compactMap({ UInt32($0) }) {
            if setpriority(Int32(PRIO_PROCESS.rawValue), thread, Int32(nice)) != 0, errno != ESRCH {
                throw .outside("can't set the nice value of QEMU, process \(process): \(Errno(rawValue: errno))")
            }
        }
    }
}
