import BuildOSKit
import Glibc

internal import CLibvirt

extension VirtualMachineCapabilities {
    static func ofLibvirt(isLocal: Bool) -> Self {
        VirtualMachineCapabilities(
            boards: [.q35, .pc],
            memorySnapshots: isLocal,
            memoryLimit: true,
            deviceOptions: true,
            remote: !isLocal
        )
    }
}

/// Makes ``LibvirtMachines``.
public struct LibvirtProvider: VirtualMachineProvider {
    static let name = "libvirt"

    public let identity = BackendIdentity(
        name: name,
        interface: .virtualMachines,
        summary: "virtual machines as domains of libvirt \(LibvirtVersion.text)"
    )
    /// What one can do on some machine or other.
    public let capabilities = VirtualMachineCapabilities(
        boards: [.q35, .pc],
        memorySnapshots: true,
        memoryLimit: true,
        deviceOptions: true,
        remote: true
    )

    /// Creates the provider.
    public init() {}

    public func preflight() async -> [PreflightFinding] {
        let sockets = ["/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"]
        guard !sockets.contains(where: { access($0, F_OK) == 0 }) else { return [] }
        return [
            PreflightFinding(
                problem: "no libvirt service listens on this machine",
                remedy: "install libvirt-daemon-system, or name another host's address"
            )
        ]
    }

    public func makeVirtualMachines(_ options: VirtualMachineOptions) throws -> any VirtualMachines {
        LibvirtMachines(uri: options.connection ?? "qemu:///system")
    }
}

/// The version of the library.
enum LibvirtVersion {
    static let text: String = {
        var version: UInt = 0
        guard virGetVersion(&version, nil, nil) == 0 else { return "of an unknown version" }
        return "\(version / 1_000_000).\(version / 1000 % 1000).\(version % 1000)"
    }()
}
