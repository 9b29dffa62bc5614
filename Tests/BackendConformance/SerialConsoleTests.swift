import BuildOSConformance
import BuildOSKit
import Glibc
import Libvirt
import LocalTransport
import QEMUDirect
import TestSupport
import Testing

@Suite("MACH-7: the serial console of a machine that runs", .serialized) struct SerialConsoleTests {
    @Test("qemu: an operator and the guest talk, nobody else gets between")
    func direct() async throws {
        guard await TestGuest.isMade() else { return }
        try await Self.talk(QEMUDirect())
    }

    @Test("libvirt: an operator and the guest talk, nobody else gets between")
    func libvirt() async throws {
        guard Requirements.isMet(getuid() == 0, "a libvirtd of the test's own needs root"),
            Requirements.isMet(FileTree.exists("/usr/sbin/libvirtd"), "no libvirtd: apt install libvirt-daemon"),
            await TestGuest.isMade()
        else { return }
        let service = try await PrivateLibvirtd.shared(by: LocalTransport())
        try await Self.talk(LibvirtMachines(uri: service.uri))
    }

    private static func talk(_ machines: some VirtualMachines) async throws {
        try await withTemporaryDirectory { directory in
            let guest = TestGuest.paths
            var definition = VirtualMachineDefinition(
                name: try #require(VirtualMachineName("console-\(UInt32.random(in: .min ... .max))")),
                memory: MemorySize(kibibytes: 256 << 10),
                cpus: 1,
                boot: .kernel(
                    guest.kernel,
                    initrd: guest.initrd,
                    commandLine: "console=ttyS0 quiet no_timer_check guest=echo"
                ),
                runtimeDirectory: directory
            )
            definition.monitorSocket = directory.appending("monitor")
            definition.serialSocket = directory.appending("serial")
            let machine = try await machines.start(definition)
            let result: Result<Void, any Error>
            do {
                result = .success(try await Self.talk(machine, in: directory))
            } catch {
                result = .failure(error)
            }
            try await machine.kill()
            try result.get()
        }
    }

    private static func talk(_ machine: any VirtualMachine, in directory: FilePath) async throws {
        let transport = LocalTransport()
        let monitor = QEMUMonitor(transport: transport, socket: directory.appending("monitor"))
        let console = SerialConsole(transport: transport, socket: directory.appending("serial"))
        #expect(try console.isTaken(in: try await monitor.run("info chardev")) == false)

        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
        let (end, hand) = (FileDescriptor(rawValue: ends[0]), FileDescriptor(rawValue: ends[1]))
        defer { for descriptor in [end, hand] { try? descriptor.close() } }
        let talking = Task { try await console.run(input: end, output: end, isTerminal: true) }
        // The guest's terminal keeps what is typed before anybody reads it, or the firmware gets it: so it is typed again.
        var heard: [UInt8] = []
        while !String(decoding: heard, as: UTF8.self).contains("heard hello\r\n") {
            let isReady = await DedicatedThread.run(name: "operator") {
                var descriptor = pollfd(fd: hand.rawValue, events: Int16(POLLIN), revents: 0)
                return poll(&descriptor, 1, 2000) > 0
            }
            guard isReady else {
                try hand.writeAll("hello\r".utf8)
                continue
            }
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = try buffer.withUnsafeMutableBytes { try hand.read(into: $0) }
            try #require(count > 0, "the console has ended: \(String(decoding: heard, as: UTF8.self))")
            heard += buffer[..<count]
        }
        #expect(try console.isTaken(in: try await monitor.run("info chardev")) == true)
        try hand.writeAll("\r~.".utf8)
        #expect(try await talking.value == .left)
        #expect(try await machine.state() == .running)
        // QEMU hears of it when the other end is closed, which is a moment later.
        while try console.isTaken(in: try await monitor.run("info chardev")) {}
    }
}
