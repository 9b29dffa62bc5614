/// A disk of the host and where it is mounted.
public struct StorageMount: Sendable, Hashable {
    /// Its label.
    public let label: String
    /// Its devices, sorted; several for a btrfs over several devices.
    public let devices: [String]
    /// The type of its file system.
    public let type: String
    /// Where it is mounted.
    public let mountPoint: FilePath
}

/// What storage a host has: the disks by their labels, and what is missing (STOR-1 to STOR-3).
public struct StoragePlan: Sendable, Hashable {
    /// The label of the state disk.
    public static let stateLabel = "buildos.state"
    /// The label of the machines' disk, and with a dot and a volume's name of several.
    public static let machinesLabel = "buildos.machines"
    /// Where the state disk is mounted.
    public static let stateDirectory: FilePath = "/state"
    /// Where the machines' disks are mounted, each under its volume's name.
    public static let machinesDirectory: FilePath = "/build/machines"

    /// The state disk; `nil` if there is none that can be used.
    public let state: StorageMount?
    /// Why there is no state disk, or which of several is meant; the boot goes on without (STOR-5).
    public let stateProblem: StorageProblem?
    /// The machines' disks, by volume name.
    public let machines: [StorageMount]
    /// What stops the boot (STOR-3).
    public let problems: [StorageProblem]

    /// Finds the host's disks among all labelled devices.
    public init(devices: [BlockDevice]) {
        var machines: [StorageMount] = []
        var problems: [StorageProblem] = []
        var byLabel: [String: [BlockDevice]] = [:]
        for device in devices where device.label.hasPrefix("buildos.") {
            byLabel[device.label, default: []].append(device)
        }

        for (label, found) in byLabel.sorted(by: { $0.key < $1.key }) where Self.isMachines(label) {
            do throws(StorageProblem) {
                let volume = try Self.volumeName(of: label)
                let mount = try Self.mount(label, found, at: Self.machinesDirectory.appending(volume))
                guard mount.type == "btrfs" else {
                    throw StorageProblem(.notBtrfs(label: label, device: mount.devices[0], type: mount.type))
                }
                if let other = machines.first(where: { $0.mountPoint == mount.mountPoint }) {
                    throw StorageProblem(.sameVolume(label, other.label, at: mount.mountPoint))
                }
                machines.append(mount)
            } catch { problems.append(error) }
        }
        if machines.isEmpty, problems.isEmpty { problems.append(StorageProblem(.noMachines)) }
        self.machines = machines
        self.problems = problems

        do throws(StorageProblem) {
            guard let found = byLabel[Self.stateLabel] else { throw StorageProblem(.noState) }
            state = try Self.mount(Self.stateLabel, found, at: Self.stateDirectory)
            stateProblem = nil
        } catch {
            state = nil
            stateProblem = error
        }
    }

    private static func isMachines(_ label: String) -> Bool {
        label == machinesLabel || label.hasPrefix(machinesLabel + ".")
    }

    private static func volumeName(of label: String) throws(StorageProblem) -> String {
        if label == machinesLabel { return "default" }
        let name = label.dropFirst(machinesLabel.count + 1)
        let extra = Set("._-".utf8)
        guard let first = name.utf8.first, first.isASCIILetterOrDigit,
            name.utf8.allSatisfy({ $0.isASCIILetterOrDigit || extra.contains($0) })
        else { throw StorageProblem(.badVolumeName(label: label)) }
        return String(name)
    }

    private static func mount(
        _ label: String,
        _ found: [BlockDevice],
        at mountPoint: FilePath
    ) throws(StorageProblem) -> StorageMount {
        let devices = found.sorted { $0.path < $1.path }
        let first = devices[0]
        let isOneFileSystem =
            devices.count == 1
            || (first.type == "btrfs" && devices.allSatisfy { $0.fileSystem == first.fileSystem }
                && Set(devices.map(\.member)).count == devices.count)
        guard isOneFileSystem else { throw StorageProblem(.sameLabel(label, devices: devices.map(\.path))) }
        return StorageMount(label: label, devices: devices.map(\.path), type: first.type, mountPoint: mountPoint)
    }
}

/// Something about the host's disks that an operator must mend.
public struct StorageProblem: DiagnosableError, Hashable {
    /// What is wrong.
    public enum Kind: Sendable, Hashable {
        /// No disk for machines.
        case noMachines
        /// No disk for state.
        case noState
        /// A machines' disk with another file system.
        case notBtrfs(label: String, device: String, type: String)
        /// Two file systems of one label.
        case sameLabel(String, devices: [String])
        /// `buildos.machines` and `buildos.machines.default`.
        case sameVolume(String, String, at: FilePath)
        /// The label's last part can't be a directory's name.
        case badVolumeName(label: String)
        /// The system refuses to mount it.
        case cannotMount(StorageMount, reason: String)
    }

    /// What is wrong.
    public let kind: Kind

    /// Creates a problem.
    public init(_ kind: Kind) { self.kind = kind }

    public var subject: String {
        switch kind {
        case .noMachines: "machines disk"
        case .noState: "state disk"
        case .notBtrfs(let label, let device, _): "\(label) (\(device))"
        case .sameLabel(let label, _), .sameVolume(let label, _, _), .badVolumeName(let label): label
        case .cannotMount(let mount, _): "\(mount.label) (\(mount.devices.joined(separator: ", ")))"
        }
    }

    public var cause: String {
        switch kind {
        case .noMachines: "there is no disk labelled \(StoragePlan.machinesLabel)"
        case .noState: "there is no disk labelled \(StoragePlan.stateLabel)"
        case .notBtrfs(_, _, let type):
            "it must be btrfs but is \(type.isEmpty ? "of no known type" : type)"
        case .sameLabel(_, let devices): "\(devices.joined(separator: " and ")) have the same label"
        case .sameVolume(_, let other, let mountPoint): "it belongs at \(mountPoint), where \(other) is already"
        case .badVolumeName:
            "what follows '\(StoragePlan.machinesLabel).' must be letters, digits, '.', '_' and '-', a letter or digit first"
        case .cannotMount(let mount, let reason): "it can't be mounted at \(mount.mountPoint): \(reason)"
        }
    }

    public var remedy: String? {
        switch kind {
        case .noMachines, .notBtrfs: "mkfs.btrfs -L \(StoragePlan.machinesLabel) -m single /dev/sdX"
        case .noState: "mkfs.ext4 -L \(StoragePlan.stateLabel) -O ^has_journal /dev/sdX"
        case .sameLabel: "give one of them another label, or unplug it"
        case .sameVolume, .badVolumeName: "btrfs filesystem label <device> \(StoragePlan.machinesLabel).<volume>"
        case .cannotMount(let mount, _):
            mount.type == "btrfs"
                ? "'dmesg | tail' has the kernel's reason; 'btrfs check \(mount.devices[0])' examines it"
                : "'dmesg | tail' has the kernel's reason; 'fsck \(mount.devices[0])' examines it"
        }
    }
}
