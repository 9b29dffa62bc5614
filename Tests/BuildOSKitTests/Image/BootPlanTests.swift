import Testing

@testable import BuildOSKit

@Suite struct BootPlanTests {
    private let image = ImageFiles(in: "/srv/image")

    /// The value after each occurrence of an option.
    private func values(of option: String, in command: Command) -> [String] {
        zip(command.arguments, command.arguments.dropFirst()).filter { $0.0 == option }.map(\.1)
    }

    @Test("BOOT-7: kernel and initrd are given straight to QEMU, the command line as one argument")
    func direct() {
        var plan = BootPlan(method: .direct(image))
        plan.append = #"buildos.ssh_key="ssh-ed25519 AAA; rm -rf / a@b" quiet"#
        let command = plan.command
        #expect(command.executable == "qemu-system-x86_64")
        #expect(values(of: "-kernel", in: command) == ["/srv/image/buildos-image"])
        #expect(values(of: "-initrd", in: command) == ["/srv/image/buildos-initrd"])
        #expect(
            values(of: "-append", in: command)
                == [#"console=ttyS0 buildos.ssh_key="ssh-ed25519 AAA; rm -rf / a@b" quiet"#]
        )
        #expect(values(of: "-netdev", in: command) == ["user,id=net0"])
        #expect(!command.arguments.contains("-boot"))
    }

    @Test("BOOT-6: over the network QEMU is given no kernel but a directory to serve and a card to boot from")
    func pxe() {
        var plan = BootPlan(method: .pxe(tftpDirectory: "/tmp/a,b"))
        plan.sshPort = 2222
        let command = plan.command
        #expect(!command.arguments.contains("-kernel"))
        #expect(!command.arguments.contains("-append"))
        #expect(
            values(of: "-netdev", in: command)
                == ["user,id=net0,hostfwd=tcp:127.0.0.1:2222-:22,tftp=/tmp/a,,b,bootfile=pxelinux.0"]
        )
        #expect(values(of: "-boot", in: command) == ["n"])
        #expect(values(of: "-device", in: command).contains("virtio-net-pci,netdev=net0,bootindex=1"))
    }

    @Test func disksKeepTheirOrderAndFormat() {
        let plan = BootPlan(
            method: .direct(image),
            disks: [.init("state.raw"), .init("/d/m,1.qcow2"), .init("/dev/vg/machines")]
        )
        #expect(
            values(of: "-drive", in: plan.command) == [
                "if=none,id=disk0,format=raw,file=state.raw",
                "if=none,id=disk1,format=qcow2,file=/d/m,,1.qcow2",
                "if=none,id=disk2,format=raw,file=/dev/vg/machines",
            ]
        )
    }

    @Test func resourcesReachQEMU() {
        let command = BootPlan(method: .direct(image), memory: 1024, cpus: 3).command
        #expect(values(of: "-m", in: command) == ["1024"])
        #expect(values(of: "-smp", in: command) == ["3"])
    }

    @Test("KVM is used only where the CPU's own flags say that it works")
    func acceleration() {
        #expect(BootPlan.canUseKVM(cpuinfo: "processor : 0\nflags\t\t: fpu vme svm nx\n"))
        #expect(BootPlan.canUseKVM(cpuinfo: "flags : fpu vmx\n"))
        #expect(!BootPlan.canUseKVM(cpuinfo: "flags : fpu vme\nbugs : vmx_svm\n"))
        #expect(!BootPlan.canUseKVM(cpuinfo: "model name : svm vmx\n"))
        var plan = BootPlan(method: .direct(image))
        #expect(values(of: "-accel", in: plan.command) == ["tcg,thread=multi"])
        #expect(values(of: "-smp", in: plan.command) == ["1"])
        plan.usesKVM = true
        #expect(values(of: "-accel", in: plan.command) == ["kvm"])
        #expect(values(of: "-smp", in: plan.command) == ["2"])
    }

    @Test("BOOT-6: the PXELINUX configuration is the manual's, for one image and at once")
    func pxelinux() throws {
        #expect(
            try PXEConfiguration.text(commandLine: "console=ttyS0 buildos.instances=3") == """
                serial 0 115200
                default buildos
                prompt 0

                label buildos
                  kernel buildos-image
                  initrd buildos-initrd
                  append console=ttyS0 buildos.instances=3

                """
        )
    }

    @Test func aCommandLineThatWouldBeCutIsRefused() throws {
        let prefix = "initrd=buildos-initrd ".utf8.count
        let longest = String(repeating: "x", count: PXEConfiguration.commandLineLimit - prefix)
        #expect(try PXEConfiguration.text(commandLine: longest).contains(longest))
        #expect(throws: PXEConfigurationError(.tooLong(2048))) {
            try PXEConfiguration.text(commandLine: longest + "x")
        }
    }

    @Test(arguments: ["a\nkernel /evil", "a\rb", "a\u{0}b", "a\u{7f}"])
    func aCommandLineCannotAddLines(line: String) {
        #expect(throws: PXEConfigurationError(.controlCharacter)) { try PXEConfiguration.text(commandLine: line) }
    }
}
