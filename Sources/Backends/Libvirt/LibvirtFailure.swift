import BuildOSKit

internal import CLibvirt

/// What libvirt says of a call that failed (libvirt.org/html/libvirt-virterror.html).
struct LibvirtFailure: Error, Hashable, CustomStringConvertible {
    private let code: UInt32
    private let domain: UInt32
    /// Its words, on one line.
    let description: String

    /// The last error of this thread: to be called by the thread that made the call, before it makes another.
    static func last() -> Self {
        guard let error = virGetLastError()?.pointee else {
            return Self(code: 0, domain: 0, description: "libvirt gives no reason")
        }
        let message = error.message.map { String(cString: $0) } ?? "libvirt gives no reason"
        return Self(
            code: UInt32(bitPattern: error.code),
            domain: UInt32(bitPattern: error.domain),
            description: message.split(whereSeparator: \.isNewline).joined(separator: "; ")
        )
    }

    /// A failure that libvirt has no part in.
    static func outside(_ description: String) -> Self { Self(code: 0, domain: 0, description: description) }

    private func has(_ codes: virErrorNumber...) -> Bool { codes.contains { $0.rawValue == code } }

    /// Whether there is no such domain, or it doesn't run.
    var isAboutNothing: Bool {
        has(VIR_ERR_NO_DOMAIN) || has(VIR_ERR_OPERATION_INVALID) && description.contains("not running")
    }

    /// Whether libvirt refused because of the state that the domain is in.
    var isAboutState: Bool { has(VIR_ERR_OPERATION_INVALID) }

    private var kind: VirtualMachineError.Kind {
        let isOfConnection = domain == VIR_FROM_RPC.rawValue || domain == VIR_FROM_REMOTE.rawValue
        return if isAboutNothing {
            .notRunning
        } else if isOfConnection
            || has(
                VIR_ERR_NO_CONNECT,
                VIR_ERR_INVALID_CONN,
                VIR_ERR_RPC,
                VIR_ERR_AUTH_FAILED,
                VIR_ERR_AUTH_CANCELLED,
                VIR_ERR_AUTH_UNAVAILABLE,
                VIR_ERR_LIBSSH
            )
        {
            .unreachable
        } else if has(VIR_ERR_NO_SUPPORT, VIR_ERR_OPERATION_UNSUPPORTED, VIR_ERR_CONFIG_UNSUPPORTED) {
            .unsupported
        } else if has(VIR_ERR_OPERATION_TIMEOUT) {
            .timedOut
        } else {
            .refused
        }
    }

    /// The failure as an error of a machine.
    ///
    /// - Parameter otherwise: its kind where libvirt's word leaves it open.
    func error(
        of machine: String,
        at uri: String,
        otherwise: VirtualMachineError.Kind = .refused
    ) -> VirtualMachineError {
        switch kind {
        case .unreachable:
            VirtualMachineError(
                .unreachable,
                machine: machine,
                detail: "libvirt can't be reached at \(uri): \(description)",
                remedy: "see whether its service runs: 'systemctl status libvirtd', 'virsh -c \(uri) list'"
            )
        case .refused:
            VirtualMachineError(
                otherwise,
                machine: machine,
                detail: description,
                // QEMU opens a tap that a manifest's options name by itself, and libvirt keeps the device from it.
                remedy: !description.contains("/dev/net/tun")
                    ? nil
                    : "in /etc/libvirt/qemu.conf, set namespaces = [] and add \"/dev/net/tun\" to cgroup_device_acl; "
                        + "restart libvirtd"
            )
        case let kind:
            VirtualMachineError(kind, machine: machine, detail: description)
        }
    }
}
