import BuildOSKit
import Glibc

/// Finds the hypervisor's program.
enum QEMUProgram {
    static let name = "qemu-system-x86_64"
    static let remedy = "install the package qemu-system-x86"

    /// The absolute path of the program, given by path or name; `nil` if there is none that can be executed.
    static func find(_ given: String?) -> FilePath? {
        let wanted = given ?? name
        if wanted.utf8.contains(UInt8(ascii: "/")) { return access(wanted, X_OK) == 0 ? FilePath(wanted) : nil }
        let directories = HostProcess.environmentVariable("PATH") ?? "/usr/local/bin:/usr/bin:/bin"
        return directories.split(separator: ":").map { FilePath(String($0)).appending(wanted) }
            .first { access($0.string, X_OK) == 0 }
    }
}
