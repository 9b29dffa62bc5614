import BuildOSKit
import Glibc

/// Finds and mounts the host's disks (STOR-1, STOR-2, STOR-5).
struct StorageSetup {
    let transport: any Transport
    let log: BootLog

    /// What was found and mounted.
    struct Outcome: Sendable {
        var devices: [BlockDevice] = []
        var state = StateMedium.memory
        var hasStateDisk = false
        var machines: [StorageMount] = []
        /// What stops the boot (STOR-3).
        var problems: [StorageProblem] = []
    }

    /// How long to wait for disks that are required, such as those on USB.
    static let machinesLimit: Duration = .seconds(6)
    /// How much longer to wait for the state disk when the others are there.
    static let stateLimit: Duration = .seconds(3)

    func run(_ drivers: inout DriverSetup) async throws -> Outcome {
        var outcome = Outcome()
        let (plan, devices) = try await find(&drivers)
        outcome.devices = devices
        outcome.hasStateDisk = plan.stateProblem?.kind != .noState
        outcome.problems = plan.problems
        if let problem = plan.stateProblem, problem.kind != .noState { report(problem) }
        guard plan.problems.isEmpty else { return outcome }

        if (plan.machines + [plan.state].compactMap { $0 }).contains(where: { $0.devices.count > 1 }) {
            // A file system over several devices can be mounted once the kernel has been told of all of them.
            _ = try? await transport.check(Command("/bin/btrfs", ["device", "scan"]), timeLimit: .seconds(60))
        }
        outcome.state = try await mountState(plan.state)
        let owner = AccountLookup.build
        for mount in plan.machines {
            do throws(StorageProblem) {
                try await self.mount(mount, flags: UInt(MS_NOATIME), options: "user_subvol_rm_allowed")
                chown(mount.mountPoint.string, owner.user, owner.group)
                outcome.machines.append(mount)
            } catch { outcome.problems.append(error) }
        }
        chown(StoragePlan.machinesDirectory.string, owner.user, owner.group)
        return outcome
    }

    /// Looks at all disks until those that are needed are there or the time is up.
    private func find(_ drivers: inout DriverSetup) async throws -> (StoragePlan, [BlockDevice]) {
        let clock = ContinuousClock()
        let start = clock.now
        var seen: [String: String] = [:]
        var devices: [BlockDevice] = []
        while true {
            let disks = KernelDevices.disks()
            if disks != seen {
                seen = disks
                devices = disks.isEmpty ? [] : await identify(disks.keys.sorted())
            }
            let plan = StoragePlan(devices: devices)
            let lacksMachines = plan.problems.contains { $0.kind == .noMachines }
            let lacksState = plan.stateProblem?.kind == .noState
            let waited = start.duration(to: clock.now)
            if !lacksMachines && (!lacksState || waited >= Self.stateLimit) { return (plan, devices) }
            if waited >= Self.machinesLimit { return (plan, devices) }
            try await Task.sleep(for: .milliseconds(50))
            await drivers.loadNew()
        }
    }

    private func identify(_ disks: [String]) async -> [BlockDevice] {
        let result = try? await transport.run(
            Command("/sbin/blkid", ["-o", "export", "-c", "/dev/null"] + disks),
            input: .none,
            output: .collected(limit: 4 << 20),
            error: .discarded,
            timeLimit: .seconds(60)
        )
        return BlockDevice.parse(blkidExport: result?.outputText ?? "")
    }

    private func mountState(_ disk: StorageMount?) async throws -> StateMedium {
        try FileTree.makeDirectory(StoragePlan.stateDirectory)
        guard let disk else { return try memory() }
        var isChecked = false
        if ExtDisk.wasLeftClean(disk.devices[0]) == false {
            isChecked = true
            await check(disk)
        }
        let usual = UInt(MS_NOATIME | MS_NOSUID | MS_NODEV)
        do throws(StorageProblem) {
            try await mount(disk, flags: usual, options: "")
            return .disk(disk)
        } catch {
            if !isChecked, disk.type.hasPrefix("ext") {
                await check(disk)
                if (try? await mount(disk, flags: usual, options: "")) != nil { return .disk(disk) }
            }
            if (try? await mount(disk, flags: usual | UInt(MS_RDONLY), options: "")) != nil {
                log.report(
                    HostReport(
                        .storage,
                        subject: "the state disk is read-only",
                        text: "\(error)\nWhat is on it is used; nothing new is kept."
                    )
                )
                return .readOnlyDisk(disk)
            }
            report(error)
            return try memory()
        }
    }

    /// Mends the file system: what is safe without a word, and the rest as well, because state is not precious and a
    /// disk without a journal that lost its power can need it.
    private func check(_ disk: StorageMount) async {
        if await fsck(disk, "-p") { return }
        let isMended = await fsck(disk, "-y")
        log.report(
            HostReport(
                .storage,
                subject: isMended ? "the state disk was damaged" : "the state disk is damaged",
                text: isMended
                    ? "fsck has mended \(disk.devices[0]); something on it may be lost."
                    : "fsck could not mend \(disk.devices[0]).\n"
                        + "Make a new one: mkfs.ext4 -L buildos.state -O ^has_journal \(disk.devices[0])"
            )
        )
    }

    /// - Returns: whether the file system is in order now; exit status 1 and 2 mean that it has been mended (fsck(8)).
    private func fsck(_ disk: StorageMount, _ option: String) async -> Bool {
        let result = try? await transport.run(
            Command("/sbin/fsck.\(disk.type)", [option, disk.devices[0]]),
            input: .none,
            output: .discarded,
            error: .discarded,
            timeLimit: .seconds(120)
        )
        if case .exited(0...3)? = result?.status { return true }
        return false
    }

    private func memory() throws -> StateMedium {
        guard Glibc.mount("tmpfs", StoragePlan.stateDirectory.string, "tmpfs", 0, "mode=755,size=64m") == 0 else {
            throw FileError("mount RAM at", StoragePlan.stateDirectory, Errno(rawValue: errno))
        }
        return .memory
    }

    private func mount(_ disk: StorageMount, flags: UInt, options: String) async throws(StorageProblem) {
        func fail(_ reason: Errno) -> StorageProblem { StorageProblem(.cannotMount(disk, reason: "\(reason)")) }
        do {
            try FileTree.makeDirectory(disk.mountPoint)
            let reason = try await Waiting.onThread("mount") {
                Glibc.mount(disk.devices[0], disk.mountPoint.string, disk.type, flags, options) == 0 ? 0 : errno
            }
            if reason != 0 { throw Errno(rawValue: reason) }
        } catch let error as FileError {
            throw fail(error.errno)
        } catch {
            throw fail(error as? Errno ?? .ioError)
        }
    }

    private func report(_ problem: StorageProblem) {
        log.report(
            HostReport(
                .storage,
                subject: "the state disk can't be used",
                text: "\(problem)\nState is kept in RAM: SSH host keys and the like are new at every boot."
            )
        )
    }
}

/// The beginning of a disk with an ext file system.
enum ExtDisk {
    /// Whether it was unmounted in order; `nil` if that can't be told.
    static func wasLeftClean(_ device: String) -> Bool? {
        guard let file = try? FileDescriptor.open(FilePath(device), .readOnly, options: .closeOnExec) else {
            return nil
        }
        let bytes = try? file.closeAfter {
            try [UInt8](unsafeUninitializedCapacity: ExtFileSystem.beginning) { buffer, count in
                count = try file.read(into: UnsafeMutableRawBufferPointer(buffer))
            }
        }
        return bytes.flatMap(ExtFileSystem.wasLeftClean)
    }
}

/// User and group build.
enum AccountLookup {
    /// Its numbers; those of root if there is no such user.
    static var build: (user: uid_t, group: gid_t) {
        guard let entry = getpwnam("build") else { return (0, 0) }
        return (entry.pointee.pw_uid, entry.pointee.pw_gid)
    }
}
