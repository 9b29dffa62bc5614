/// How the state directory came out.
public enum StateMedium: Sendable, Hashable {
    /// The disk, written to as usual.
    case disk(StorageMount)
    /// The disk, which can only be read.
    case readOnlyDisk(StorageMount)
    /// RAM, for want of a disk that can be used.
    case memory
}

/// The files and texts about storage.
public enum StorageRendering {
    /// Mount options of the machines' disks: snapshots are deleted by their owner, user build.
    public static let machinesOptions = "noatime,user_subvol_rm_allowed"

    /// `/etc/fstab` as the host is (STOR-4).
    ///
    /// `noauto` because all of it is mounted before systemd starts, which then has nothing to wait for.
    public static func fstab(state: StateMedium, machines: [StorageMount]) -> HostFile {
        var lines = [
            "# Made by 'buildosd init' at this boot from the labels of the disks; mounted before systemd started, hence noauto."
        ]
        switch state {
        case .disk(let mount), .readOnlyDisk(let mount):
            lines.append("# \(mount.devices.joined(separator: " "))")
            let access = state == .disk(mount) ? "" : "ro,"
            lines.append("LABEL=\(mount.label) \(mount.mountPoint) \(mount.type) \(access)noatime,noauto,nofail 0 0")
        case .memory:
            lines.append("# RAM: there is no state disk that can be used.")
            lines.append("tmpfs \(StoragePlan.stateDirectory) tmpfs mode=755,size=64m,noauto 0 0")
        }
        for mount in machines {
            lines.append("# \(mount.devices.joined(separator: " "))")
            lines.append("LABEL=\(mount.label) \(mount.mountPoint) btrfs \(machinesOptions),noauto,nofail 0 0")
        }
        return HostFile("/etc/fstab", lines.joined(separator: "\n") + "\n")
    }

    /// What the operator reads above the shell at which a boot stops (STOR-3).
    public static func shellMessage(problems: [StorageProblem], hasState: Bool, devices: [BlockDevice]) -> String {
        var lines = ["", "Build OS can't go on: its storage is not complete.", ""]
        for problem in problems { lines.append("  \(problem.subject): \(problem.cause)") }
        lines += ["", "Disks found:"]
        lines +=
            devices.isEmpty
            ? ["  none with a label"] : devices.map { "  \($0.path)  \($0.type)  \($0.label)" }
        lines += [
            "",
            "'fdisk -l' lists all disks. To make a disk for machines, on one device or over several:",
            "  mkfs.btrfs -L buildos.machines -m single /dev/sdX",
            "  mkfs.btrfs -L buildos.machines -d single -m single /dev/sdX /dev/sdY",
            "For several volumes label each buildos.machines.<volume>. To label a btrfs that is there:",
            "  btrfs filesystem label /dev/sdX buildos.machines",
        ]
        if !hasState {
            lines += [
                "There is no state disk either. A small one keeps SSH host keys and the like across boots:",
                "  mkfs.ext4 -L buildos.state -O ^has_journal /dev/sdX",
            ]
        }
        lines += ["", "Leave this shell (exit, or Ctrl-D) to reboot.", ""]
        return lines.joined(separator: "\n")
    }

    /// What the operator is asked when there is no disk for state; without an answer the boot goes on (STOR-5).
    public static func stateOffer(seconds: Int) -> String {
        """

        There is no disk labelled buildos.state: SSH host keys and the like will be new at every boot. To make one:
          mkfs.ext4 -L buildos.state -O ^has_journal /dev/sdX
        Press Enter within \(seconds) seconds for a shell; otherwise the boot goes on without.

        """
    }
}
