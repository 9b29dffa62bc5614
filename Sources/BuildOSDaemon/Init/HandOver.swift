import BuildOSKit
import CHost
import Glibc

/// The last act of the set-up: the process becomes systemd (BOOT-4).
enum HandOver {
    static let program = "/lib/systemd/systemd"

    /// - Returns: only if it failed: why.
    static func toSystemd() -> Errno {
        // Nothing that this program has open is systemd's business.
        for name in (try? FileTree.names(in: "/proc/self/fd")) ?? [] {
            if let number = Int32(name), number > 2 { _ = fcntl(number, F_SETFD, FD_CLOEXEC) }
        }
        _ = chdir("/")
        umask(0o022)
        chost_reset_signals()
        let arguments = CStrings([program])
        let environment = CStrings(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=linux"])
        return withExtendedLifetime((arguments, environment)) {
            execve(program, arguments.pointers, environment.pointers)
            return Errno(rawValue: errno)
        }
    }
}
