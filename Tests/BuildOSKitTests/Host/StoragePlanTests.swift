import BuildOSKit
import TestSupport
import Testing

@Suite struct StoragePlanTests {
    private func device(
        _ path: String,
        _ label: String,
        _ type: String = "btrfs",
        _ fileSystem: String? = nil,
        _ member: String? = nil
    ) -> BlockDevice {
        BlockDevice(path: path, label: label, type: type, fileSystem: fileSystem ?? path, member: member ?? path)
    }

    @Test("STOR-1, STOR-2: what blkid prints is understood")
    func blkid() {
        let devices = BlockDevice.parse(
            blkidExport: """
                DEVNAME=/dev/vda
                LABEL=buildos.state
                UUID=1b1c2d3e-0000-4000-8000-000000000001
                BLOCK_SIZE=1024
                TYPE=ext4

                DEVNAME=/dev/vdb
                LABEL=buildos.machines
                UUID=9d6e9ce5-0000-4000-8000-000000000002
                UUID_SUB=0b0c0d0e-0000-4000-8000-000000000003
                BLOCK_SIZE=4096
                TYPE=btrfs

                DEVNAME=/dev/loop0
                TYPE=squashfs

                DEVNAME=/dev/sdc1
                LABEL=My\\ Stick\\\\
                TYPE=vfat
                PARTLABEL=buildos.machines
                """
        )
        #expect(devices.map(\.path) == ["/dev/vda", "/dev/vdb", "/dev/sdc1"])
        #expect(devices.map(\.label) == ["buildos.state", "buildos.machines", "My Stick\\"])
        #expect(devices.map(\.type) == ["ext4", "btrfs", "vfat"])
        #expect(devices[1].member == "0b0c0d0e-0000-4000-8000-000000000003")
        #expect(BlockDevice.parse(blkidExport: "nonsense\n=\nLABEL=x\n").isEmpty)
    }

    @Test("STOR-2: one machines disk is the volume 'default'")
    func oneDisk() {
        let plan = StoragePlan(devices: [
            device("/dev/vdb", "buildos.machines"), device("/dev/vda", "buildos.state", "ext4"),
        ])
        #expect(plan.problems.isEmpty && plan.stateProblem == nil)
        #expect(plan.state?.mountPoint == "/state")
        #expect(plan.machines.map(\.mountPoint) == ["/build/machines/default"])
    }

    @Test("STOR-2: several machines disks are volumes by their labels")
    func severalDisks() {
        let plan = StoragePlan(
            devices: [device("/dev/vdc", "buildos.machines.fast_1"), device("/dev/vdb", "buildos.machines")]
        )
        #expect(plan.problems.isEmpty)
        #expect(plan.machines.map(\.mountPoint) == ["/build/machines/default", "/build/machines/fast_1"])
    }

    @Test("STOR-2: a btrfs over several devices counts once")
    func severalDevices() {
        let plan = StoragePlan(
            devices: [
                device("/dev/sdb", "buildos.machines", "btrfs", "u", "b"),
                device("/dev/sda", "buildos.machines", "btrfs", "u", "a"),
            ]
        )
        #expect(plan.problems.isEmpty)
        #expect(plan.machines.map(\.devices) == [["/dev/sda", "/dev/sdb"]])
    }

    @Test("STOR-3: disks that can be mistaken for one another stop the boot")
    func collisions() {
        let twoOfOneLabel = StoragePlan(devices: [
            device("/dev/sdb", "buildos.machines"), device("/dev/sda", "buildos.machines"),
        ])
        #expect(
            twoOfOneLabel.problems.map(\.kind) == [.sameLabel("buildos.machines", devices: ["/dev/sda", "/dev/sdb"])]
        )
        let copy = StoragePlan(
            devices: [
                device("/dev/sda", "buildos.machines", "btrfs", "u", "a"),
                device("/dev/sdb", "buildos.machines", "btrfs", "u", "a"),
            ]
        )
        #expect(copy.problems.count == 1)
        let sameVolume = StoragePlan(
            devices: [device("/dev/sda", "buildos.machines"), device("/dev/sdb", "buildos.machines.default")]
        )
        #expect(
            sameVolume.problems.map(\.kind)
                == [.sameVolume("buildos.machines.default", "buildos.machines", at: "/build/machines/default")]
        )
    }

    @Test("STOR-3: a machines disk that is not btrfs stops the boot, and the message says how to make one")
    func notBtrfs() {
        let plan = StoragePlan(devices: [device("/dev/sda", "buildos.machines", "ext4")])
        #expect(
            plan.problems.map(\.description)
                == [
                    "buildos.machines (/dev/sda): it must be btrfs but is ext4 "
                        + "(mkfs.btrfs -L buildos.machines -m single /dev/sdX)"
                ]
        )
    }

    @Test("STOR-3: a missing machines disk stops the boot, and the message says how to make one")
    func missing() {
        let devices = [device("/dev/sda1", "home", "ext4")]
        let plan = StoragePlan(devices: devices)
        #expect(plan.problems.map(\.kind) == [.noMachines])
        #expect(plan.stateProblem?.kind == .noState)
        #expect(
            StorageRendering.shellMessage(problems: plan.problems, hasState: false, devices: devices) == """

                Build OS can't go on: its storage is not complete.

                  machines disk: there is no disk labelled buildos.machines

                Disks found:
                  /dev/sda1  ext4  home

                'fdisk -l' lists all disks. To make a disk for machines, on one device or over several:
                  mkfs.btrfs -L buildos.machines -m single /dev/sdX
                  mkfs.btrfs -L buildos.machines -d single -m single /dev/sdX /dev/sdY
                For several volumes label each buildos.machines.<volume>. To label a btrfs that is there:
                  btrfs filesystem label /dev/sdX buildos.machines
                There is no state disk either. A small one keeps SSH host keys and the like across boots:
                  mkfs.ext4 -L buildos.state -O ^has_journal /dev/sdX

                Leave this shell (exit, or Ctrl-D) to reboot.

                """
        )
    }

    @Test(
        "STOR-2: a label whose volume can't be a directory's name is refused",
        arguments: ["buildos.machines.", "buildos.machines...", "buildos.machines.a/b", "buildos.machines.-x"]
    )
    func badVolume(label: String) {
        #expect(
            StoragePlan(devices: [device("/dev/sda", label)]).problems.map(\.kind) == [.badVolumeName(label: label)]
        )
    }

    @Test("STOR-5: two state disks don't stop the boot")
    func twoStates() {
        let plan = StoragePlan(
            devices: [
                device("/dev/sda", "buildos.state", "ext4"), device("/dev/sdb", "buildos.state", "ext4"),
                device("/dev/sdc", "buildos.machines"),
            ]
        )
        #expect(plan.problems.isEmpty)
        #expect(plan.state == nil)
        #expect(plan.stateProblem?.kind == .sameLabel("buildos.state", devices: ["/dev/sda", "/dev/sdb"]))
    }

    @Test("STOR-4: fstab shows the result")
    func fstab() throws {
        let plan = StoragePlan(
            devices: [
                device("/dev/vda", "buildos.state", "ext4"),
                device("/dev/vdb", "buildos.machines", "btrfs", "u", "a"),
                device("/dev/vdc", "buildos.machines", "btrfs", "u", "b"),
            ]
        )
        let state = try #require(plan.state)
        #expect(
            StorageRendering.fstab(state: .disk(state), machines: plan.machines).content == """
                # Made by 'buildosd init' at this boot from the labels of the disks; mounted before systemd started, hence noauto.
                # /dev/vda
                LABEL=buildos.state /state ext4 noatime,noauto,nofail 0 0
                # /dev/vdb /dev/vdc
                LABEL=buildos.machines /build/machines/default btrfs noatime,user_subvol_rm_allowed,noauto,nofail 0 0

                """
        )
        let readOnly = StorageRendering.fstab(state: .readOnlyDisk(state), machines: []).content
        #expect(readOnly.contains("LABEL=buildos.state /state ext4 ro,noatime,noauto,nofail 0 0\n"))
        let memory = StorageRendering.fstab(state: .memory, machines: []).content
        #expect(memory.contains("tmpfs /state tmpfs mode=755,size=64m,noauto 0 0\n"))
    }
}
