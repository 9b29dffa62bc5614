/// Which drivers the set-up needs before systemd loads all others: those that lead to disks and to the network.
public enum EarlyDrivers {
    /// The modules that are needed whatever devices there are: file systems, the bridges, and what the DHCP client
    /// listens with. Left to be loaded on first use, each would cost a process and a wait of its own.
    public static let always = ["btrfs", "ext4", "bridge", "af_packet"]

    /// Whether a device's `modalias` may lead to a disk or to an Ethernet interface.
    ///
    /// Of PCI devices these are mass storage, network, serial buses (USB), bridges to other buses, and whatever is a
    /// virtio device; on other buses it can't be told, so that all of them count, except where they are known not to.
    public static func mayLeadToDiskOrNetwork(_ modalias: String) -> Bool {
        let bus = modalias.prefix { $0 != ":" }
        switch bus {
        case "pci":
            let virtioVendor = "pci:v00001AF4"
            guard let mark = modalias.firstRange(of: "bc") else { return true }
            let pciClass = modalias[mark.upperBound...].prefix(2)
            return ["01", "02", "0C"].contains(pciClass) || modalias.hasPrefix(virtioVendor)
        case "scsi":
            // Disks of all kinds, but no optical drives, tapes and enclosures.
            return ["0x00", "0x07", "0x0e", "0x14"].contains { modalias.hasPrefix("scsi:t-\($0)") }
        case "usb":
            // Interfaces for storage, communication and vendors' own protocols, which network adapters have.
            return ["ic08", "ic02", "ic0A", "icFF", "icE0"].contains { modalias.contains($0) }
        case "virtio", "mmc", "sdio", "vmbus", "xen", "mdio", "ssb", "bcma": return true
        default: return false
        }
    }
}
