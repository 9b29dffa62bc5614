import Glibc

/// Whether this machine runs guests with KVM. The device alone proves nothing: where the processor lacks the
/// instructions, it may be there and hang.
public enum KVMSupport: Sendable, Hashable {
    case works
    /// With the reason, and the remedy.
    case missing(reason: String, remedy: String)

    /// What is so on this machine.
    public static var current: KVMSupport {
        guard let text = try? FileTree.readText("/proc/cpuinfo", limit: 16 << 20), hasVirtualization(text) else {
            return .missing(
                reason: "the processor has neither svm nor vmx among its flags",
                remedy: "switch virtualization on in the firmware, or nested virtualization in the hypervisor around"
            )
        }
        let device = open("/dev/kvm", O_RDWR | O_CLOEXEC)
        guard device >= 0 else {
            let reason = Errno(rawValue: errno)
            return .missing(
                reason: "/dev/kvm can't be opened: \(reason)",
                remedy: reason == .permissionDenied
                    ? "add the user to the group that owns /dev/kvm" : "load the module kvm_intel or kvm_amd"
            )
        }
        close(device)
        return .works
    }

    /// Whether the flags in a `/proc/cpuinfo` name the instructions that KVM needs (proc(5)).
    static func hasVirtualization(_ cpuinfo: String) -> Bool {
        cpuinfo.split(separator: "\n").contains { line in
            guard line.hasPrefix("flags"), let colon = line.firstIndex(of: ":") else { return false }
            return line[line.index(after: colon)...].split(separator: " ").contains { $0 == "svm" || $0 == "vmx" }
        }
    }
}
