import BuildOSKit
import Glibc

/// The right to a machine's name: an address in the abstract namespace of UNIX sockets (unix(7)), which QEMU inherits and
/// nobody else can have until it has ended, however it ends. Users don't meet each other's names.
struct NameLock: ~Copyable {
    let descriptor: Int32

    /// Takes the name.
    ///
    /// - Throws: ``VirtualMachineError`` of kind `alreadyRunning`.
    init(_ name: VirtualMachineName) throws(VirtualMachineError) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let text = Array("buildos-qemu/\(getuid())/\(name)".utf8)
        // The first byte stays zero: that makes it abstract.
        withUnsafeMutableBytes(of: &address.sun_path) { $0[1...].copyBytes(from: text) }
        let size = MemoryLayout<sa_family_t>.size + 1 + text.count
        // Not the property before all is well: from then on an error has it closed by `deinit`.
        let made = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard made >= 0 else { throw Self.failure(name, Errno(rawValue: errno)) }
        let outcome = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(made, $0, socklen_t(size)) }
        }
        guard outcome == 0 else {
            let reason = Errno(rawValue: errno)
            close(made)
            throw Self.failure(name, reason)
        }
        descriptor = made
    }

    deinit { close(descriptor) }

    private static func failure(_ name: VirtualMachineName, _ reason: Errno) -> VirtualMachineError {
        reason == .addressInUse
            ? VirtualMachineError(
                .alreadyRunning,
                machine: name.description,
                detail: "there is a machine of that name",
                remedy: "end it first"
            )
            : VirtualMachineError(.cannotStart, machine: name.description, detail: "can't take its name: \(reason)")
    }
}
