import BuildOSKit
import Glibc

/// Devices as the kernel shows them in `/sys`.
enum KernelDevices {
    /// The `modalias` of every device, each once.
    static func modaliases() -> Set<String> {
        var found: Set<String> = []
        // One flat directory per bus, rather than a walk through the whole tree of devices.
        for bus in (try? FileTree.names(in: "/sys/bus")) ?? [] {
            let directory = FilePath("/sys/bus/\(bus)/devices")
            for device in (try? FileTree.names(in: directory)) ?? [] {
                let file = directory.appending(device).appending("modalias")
                guard let text = try? FileTree.readText(file, limit: 4096) else { continue }
                found.formUnion(text.split(separator: "\n").map(String.init))
            }
        }
        return found
    }

    /// The device files of all disks and partitions that may have a file system worth looking at, with their sizes.
    ///
    /// Loop devices, RAM disks, floppies and optical drives are left out; the last two can take seconds to answer.
    static func disks() -> [String: String] {
        var disks: [String: String] = [:]
        for name in (try? FileTree.names(in: "/sys/class/block")) ?? [] {
            guard !["loop", "ram", "zram", "fd", "sr", "nbd"].contains(where: { name.hasPrefix($0) }) else { continue }
            guard let size = try? FileTree.readText(FilePath("/sys/class/block/\(name)/size")), size != "0\n" else {
                continue
            }
            disks["/dev/\(name.replacing("!", with: "/"))"] = size
        }
        return disks
    }

    /// Every wired Ethernet interface that belongs to a device.
    static func ethernetInterfaces() -> [EthernetInterface] {
        ((try? FileTree.names(in: "/sys/class/net")) ?? []).compactMap { name in
            let directory = FilePath("/sys/class/net/\(name)")
            guard FileTree.exists(directory.appending("device")), text(directory, "type") == "1",
                !FileTree.exists(directory.appending("wireless")), !FileTree.exists(directory.appending("phy80211")),
                let address = try? MACAddress(text(directory, "address") ?? "")
            else { return nil }
            return EthernetInterface(
                name: name,
                address: address,
                devicePath: target(of: directory.appending("device")),
                hasCarrier: text(directory, "carrier") == "1"
            )
        }
    }

    private static func text(_ directory: FilePath, _ name: String) -> String? {
        guard let text = try? FileTree.readText(directory.appending(name), limit: 4096) else { return nil }
        return String(text.prefix { $0 != "\n" })
    }

    private static func target(of link: FilePath) -> String {
        guard let resolved = realpath(link.string, nil) else { return "" }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}
