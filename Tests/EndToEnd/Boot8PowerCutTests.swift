import BuildOSKit
import TestSupport
import Testing

extension EndToEndTests {
    /// A host whose power is cut while machines are brought to it, and that is booted again each time.
    @Suite("8. A host whose power is cut", .serialized)
    struct Boot8 {
        let lab: Lab

        init() throws { lab = try Lab.current }

        @Test(
            "MACH-2, MACH-9: whenever a host's power is cut, it has the old machine or the new one, whole; another run finishes",
            .timeLimit(.minutes(15))
        )
        func powerCuts() async throws {
            try await withVolume("btrfs", mebibytes: 256, by: lab.transport) { desk in
                let images = UploadImages(desk: desk, transport: lab.transport)
                try await images.make(4)
                let disks = try await [Disk.state("cut-state", in: lab), Disk.machines("cut-machines", in: lab)].map {
                    // Flushes are done: what the guest was told to be on its disk is there.
                    Disk(file: $0.file, cache: "writeback")
                }
                var isDone = try await firstBoot(images, disks)
                isDone = try await nextBoot(2, isDone: isDone, cutAt: "switching the link", images, disks)
                _ = try await nextBoot(3, isDone: isDone, cutAt: nil, images, disks)
            }
        }

        /// Keeps many moments of a first upload and of one by the difference, has the power cut in another, and looks at what
        /// each of the moments would have left. Gives back whether the cut came too late.
        private func firstBoot(_ images: UploadImages, _ disks: [Disk]) async throws -> Bool {
            var (first, second): ([DiskMoment], [DiskMoment]) = ([], [])
            var isDone = false
            try await VirtualHost.withHost(try shape("cut1", disks), in: lab) { host in
                try await host.isUp(within: .seconds(300))
                let watch = DiskWatch(host: host, disk: disks[1], limit: 16)
                let add = try await host.machineCommand(["add", images.path(0).string])
                first = try await watch.moments(of: add, named: "cut-add")
                let upgrade = try await host.machineCommand(["upgrade", images.path(1).string])
                second = try await watch.moments(of: upgrade, named: "cut-upgrade")
                try await control(host, watch)
                #expect(try host.serial.alarms == [])
                isDone = try await cut(host, at: "making a snapshot", of: 2, images)
            }
            for (number, moments) in [first, second].enumerated() {
                let old = number > 0 ? try await images.view(number - 1) : ""
                var seen: [String] = []
                for moment in moments { seen.append(try await look(at: moment, number, images)) }
                let changes = zip(seen, seen.dropFirst()).filter { $0 != $1 }.count
                print("power cut: \(moments.map(\.after)), the old machine in \(seen.count { $0 == old }) of them")
                // From the old one to the new one, and never back.
                #expect(seen.first == old && changes == 1)
                #expect(try await seen.last == images.view(number), "what was said to be done is lost")
            }
            return isDone
        }

        /// Shows that a moment lacks what the host had not flushed to its disk: else the others would prove little.
        private func control(_ host: VirtualHost, _ watch: DiskWatch) async throws {
            let (flushed, not) = ("\(Self.volume)/flushed", "\(Self.volume)/not")
            // No commit may come in between (btrfs(5), "commit").
            try await host.run("sudo mount -o remount,commit=300 \(Self.volume)")
            try await host.run("sudo sh -c 'touch \(flushed) && sync -f \(flushed) && touch \(not)'")
            let moment = try await watch.moment("cut-control", after: "the control", try host.powerCord())
            try await withMounted(moment.file) { root in
                let volume = root.appending("default")
                #expect(FileTree.exists(volume.appending("flushed")) && !FileTree.exists(volume.appending("not")))
            }
            try await host.run("sudo rm \(flushed) \(not)")
        }

        /// Mounts what a moment left, looks as a reader would, and runs the upload again. Gives what was seen at first.
        private func look(at moment: DiskMoment, _ number: Int, _ images: UploadImages) async throws -> String {
            let new = try await images.view(number)
            let old = number > 0 ? try await images.view(number - 1) : ""
            return try await withMounted(moment.file) { root in
                let seen = try await images.view(inVolume: root.appending("default"), by: desk)
                #expect(seen == new || seen == old, "cut after '\(moment.after)'")
                let again = try await lab.transport.run(
                    Command(
                        StagedTree.program("buildosctl").string,
                        ["upload-machine", images.path(number).string, "--root", root.string]
                    ),
                    input: .none,
                    output: .collected(limit: 1 << 20),
                    error: .collected(limit: 1 << 20),
                    timeLimit: .seconds(60)
                )
                #expect(again.status.isSuccess, "run again after '\(moment.after)': \(again.errorText)")
                #expect(try await images.view(inVolume: root.appending("default"), by: desk) == new)
                let left = try await images.leftovers(inVolume: root.appending("default"), by: desk)
                #expect(left == images.expectedNames(through: number), "run again after '\(moment.after)'")
                return seen
            }
        }

        /// Boots the host again, looks, runs the upload again that the last cut interrupted, and cuts the power in the next.
        private func nextBoot(
            _ number: Int,
            isDone: Bool,
            cutAt step: String?,
            _ images: UploadImages,
            _ disks: [Disk]
        ) async throws -> Bool {
            var isNextDone = false
            try await VirtualHost.withHost(try shape("cut\(number)", disks), in: lab) { host in
                try await host.isUp(within: .seconds(300))
                let (old, new) = try await (images.view(number - 1), images.view(number))
                let seen = try await images.view(inVolume: Self.volume, by: reader(on: host))
                #expect(seen == new || (seen == old && !isDone))
                let again = try await host.machineControl(["upgrade", images.path(number).string])
                #expect(again.status.isSuccess, "\(again.errorText)")
                #expect(try await images.view(inVolume: Self.volume, by: reader(on: host)) == new)
                #expect(try await host.run("stat -L -c %U:%G \(Self.volume)/net/net-1/disk.img") == "build:build")
                let left = try await images.leftovers(inVolume: Self.volume, by: reader(on: host))
                #expect(left == images.expectedNames(through: number))
                #expect(try host.serial.alarms == [])
                if let step { isNextDone = try await cut(host, at: step, of: number + 1, images) }
            }
            return isNextDone
        }

        /// Cuts the host's power when the sender shows that a step of an upload has begun. Gives back whether that was too
        /// late, and the sender was told that all is done.
        private func cut(
            _ host: VirtualHost,
            at step: String,
            of number: Int,
            _ images: UploadImages
        ) async throws -> Bool {
            let config = lab.directory.appending("cut-ssh-config")
            try FileTree.write("ServerAliveInterval 3\n", to: config)
            let upgrade = try await host.machineCommand(["upgrade", images.path(number).string], sshConfig: config)
            let cord = try host.powerCord()
            let result = try await lab.transport.run(
                upgrade,
                input: .none,
                output: .collected(limit: 1 << 20),
                error: .lines { if $0.hasSuffix(step) { cord.pull() } },
                timeLimit: .seconds(60)
            )
            #expect(result.status.isSuccess || result.status == .exited(75), "cut at '\(step)': \(result.outputText)")
            try await eventually("the end of QEMU", within: .seconds(20)) { host.isOff }
            return result.status.isSuccess
        }

        private static let volume: FilePath = "/build/machines/default"

        private func reader(on host: VirtualHost) -> UploadImages.Reader {
            { try await host.run("sudo sh -c '\($0)'") }
        }

        private var desk: UploadImages.Reader {
            { [lab] script in
                try await lab.transport.check(Command("sh", ["-c", script]), timeLimit: .seconds(60)).outputText
                    .trimmingSuffix(while: \.isNewline)
            }
        }

        private func shape(_ name: String, _ disks: [Disk]) throws -> HostShape {
            HostShape(
                name: name,
                // Its key survives, too: a host that showed another one would not be let in on.
                identity: "cut",
                firmware: .local(
                    mac: Lab.namedMAC,
                    address: Lab.namedAddress,
                    append: try lab.commonParameters()
                ),
                memory: 2048,
                disks: disks
            )
        }

        /// Mounts a copy of the machines disk as the volume `default` of a root of its own, and removes it.
        private func withMounted<Value>(_ image: FilePath, _ body: (FilePath) async throws -> Value) async throws
            -> Value
        {
            let root = FilePath("\(image).root")
            let volume = root.appending("default")
            try FileTree.makeDirectory(volume)
            func run(_ arguments: [String]) async throws -> String {
                try await lab.transport.check(Command(arguments[0], Array(arguments.dropFirst()))).outputText
            }
            let device = try await run(["losetup", "--find", "--show", image.string]).trimmingSuffix(while: \.isNewline)
            let outcome: Result<Value, any Error>
            do {
                _ = try await run(["mount", device, volume.string])
                do { outcome = .success(try await body(root)) } catch { outcome = .failure(error) }
                _ = try await run(["umount", volume.string])
                // The copies are one file system to the kernel, and it would not let an older state of it follow this one.
                _ = try await run(["btrfs", "device", "scan", "--forget", device])
            } catch {
                _ = try? await run(["losetup", "--detach", device])
                throw error
            }
            _ = try await run(["losetup", "--detach", device])
            let value = try outcome.get()
            try FileTree.remove(root)
            try FileTree.remove(image)
            return value
        }
    }
}
