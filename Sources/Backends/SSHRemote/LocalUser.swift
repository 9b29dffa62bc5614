import BuildOSKit
import Glibc

/// Whoever runs this, from the user database, as ssh(1) does it.
struct LocalUser: Sendable {
    let name: String
    let home: String

    static var current: LocalUser {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16 << 10)
        guard getpwuid_r(getuid(), &entry, &buffer, buffer.count, &found) == 0, let found,
            let name = found.pointee.pw_name, let home = found.pointee.pw_dir
        else {
            return LocalUser(
                name: HostProcess.environmentVariable("LOGNAME") ?? "root",
                home: HostProcess.environmentVariable("HOME") ?? "/"
            )
        }
        return LocalUser(name: String(cString: name), home: String(cString: home))
    }
}
