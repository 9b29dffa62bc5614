import BuildOSKit
import TestSupport
import Testing

/// Machines brought to the booted host from outside, over its real SSH server, to its real disk. In the order of files,
/// before the tests that end in a reboot.
extension EndToEndTests.Boot1 {
    @Test(
        "MACH-2 to MACH-8: a machine is added over SSH, upgraded by the difference, rolled back, and removed once its build is done",
        .timeLimit(.minutes(10))
    )
    func machines() async throws {
        try await withVolume("btrfs", mebibytes: 256, by: lab.transport) { desk in
            try await makeImages(desk)
            let place = "/build/machines/default/net"
            #expect(try await control(["add", "\(desk)/net-1.0"]).status.isSuccess)
            #expect(try await host.run("readlink \(place)/net-1") == "net-1.0")
            #expect(try await host.run("stat -c %U:%G \(place)/net-1/disk.img") == "build:build")
            #expect(try await !host.attempt("sudo touch \(place)/net-1/new").status.isSuccess)
            #expect(
                try await host.run("sha256sum < \(place)/net-1/disk.img")
                    == lab.transport.check(Command("sha256sum", []), input: .file(desk.appending("net-1.0/disk.img")))
                    .outputText.trimmingSuffix(while: \.isNewline)
            )

            let first = try await control(["rollback", "net"])
            #expect(!first.status.isSuccess && first.errorText.contains("there is no revision before 1.0"))
            let upgrade = try await control(["upgrade", "--format", "json", "\(desk)/net-1.1"])
            #expect(upgrade.status.isSuccess, "\(upgrade.outputText)\(upgrade.errorText)")
            #expect(try await host.run("readlink \(place)/net-1; cat \(place)/net-1/note") == "net-1.1\nsecond")
            #expect(try await control(["rollback", "net"]).status.isSuccess)
            #expect(try await host.run("readlink \(place)/net-1; cat \(place)/net-1/note") == "net-1.0\nfirst")

            try await host.run("btrfs subvolume snapshot \(place)/net-1.0 \(place)/net-default-1_fake")
            let waiting = try await control(["remove", "net", "--time-limit", "3"])
            #expect(!waiting.status.isSuccess)
            #expect("\(waiting.outputText)\(waiting.errorText)".contains("net-default-1_fake"))
            #expect(try await host.run("test ! -e \(place)/net-1 && ls -d \(place)/net-default-1_fake") != "")
            try await host.run("sudo btrfs subvolume delete \(place)/net-default-1_fake")
            let removal = try await control(["remove", "net"])
            #expect(removal.status.isSuccess, "\(removal.outputText)\(removal.errorText)")
            #expect(try await !host.attempt("test -e \(place)").status.isSuccess)
        }
    }

    @Test("MACH-7: the screen and the monitor of a machine that runs on the host are reached over SSH")
    func login() async throws {
        try await host.run(
            "qemu-system-x86_64 -machine pc,accel=tcg -m 32 -nodefaults -vga std -vnc 127.0.0.1:1 "
                + "-monitor unix:/tmp/monitor-default-1,server=on,wait=off -daemonize"
        )
        let viewer = Lab.fixture("vnc-viewer.py").string
        let look = try await control(["login", "default-1", "--viewer", viewer])
        #expect(look.status.isSuccess && look.outputText.contains("frame "), "\(look.outputText)\(look.errorText)")
        #expect(try await control(["monitor", "default-1", "stop"]).status.isSuccess)
        #expect(try await control(["monitor", "default-1", "info", "status"]).outputText == "VM status: paused\n")
        #expect(try await control(["monitor", "default-1", "cont"]).status.isSuccess)
        #expect(try await control(["monitor", "default-1", "info", "status"]).outputText == "VM status: running\n")
        _ = try await control(["monitor", "default-1", "quit"])
        try await host.run("rm -f /tmp/monitor-default-1")
    }

    private func makeImages(_ desk: FilePath) async throws {
        let work = desk.appending("work")
        func run(_ arguments: [String]) async throws {
            try await lab.transport.check(Command(arguments[0], Array(arguments.dropFirst())))
        }
        try await run(["btrfs", "subvolume", "create", work.string])
        try await run(["dd", "if=/dev/urandom", "of=\(work)/disk.img", "bs=1M", "count=8", "status=none"])
        let manifest = MachineManifest(MachineHeader(id: "net-1", name: "net", summary: "a machine"))
        try FileTree.write(try ManifestSerializer.serialize([manifest.manifest]), to: work.appending("manifest"))
        try FileTree.write("first\n", to: work.appending("note"))
        try await run(["btrfs", "subvolume", "snapshot", "-r", work.string, "\(desk)/net-1.0"])
        try FileTree.write("second\n", to: work.appending("note"))
        try await run(["btrfs", "subvolume", "snapshot", "-r", work.string, "\(desk)/net-1.1"])
    }

    private func control(_ arguments: [String]) async throws -> CommandResult {
        try await host.machineControl(arguments)
    }
}
