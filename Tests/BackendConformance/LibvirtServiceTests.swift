import BuildOSKit
import Glibc
import LocalTransport
import TestSupport
import Testing

@testable import Libvirt

@Suite("BACK-1: libvirt's service") struct LibvirtServiceTests {
    private static let testURI = "test:///default"

    @Test("a domain of libvirt's own test driver is found, paused, resumed and shut down, and its end is heard of")
    func testDriver() async throws {
        try await withTemporaryDirectory { directory in
            let machines = LibvirtMachines(uri: Self.testURI)
            let name = try #require(VirtualMachineName("test"))
            let machine = try #require(try await machines.find(name, runtimeDirectory: directory))
            #expect(try await machine.state() == .running)
            try await machine.pause()
            try await machine.pause()
            #expect(try await machine.state() == .paused(reason: nil))
            try await machine.resume()
            try await machine.resume()
            #expect(try await machine.state() == .running)

            let waiting = Task { try await machine.waitUntilEnded() }
            try await machine.powerDown()
            #expect(try await waiting.value == .guestShutdown)
            #expect(try await machine.state() == .ended(.guestShutdown))
            #expect(try await machines.find(name, runtimeDirectory: directory) == nil)
        }
    }

    @Test("a machine that is not there is not found, and what it left is removed")
    func remains() async throws {
        try await withTemporaryDirectory { directory in
            let name = try #require(VirtualMachineName("gone"))
            let socket = directory.appending("monitor")
            let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(descriptor) }
            try #require(Self.bind(descriptor, to: socket) == 0)
            let serial = directory.appending("serial")
            let other = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(other) }
            try #require(Self.bind(other, to: serial) == 0)
            let uuid = "00000000-0000-4000-8000-000000000001"
            try MachineNote(uuid: uuid, monitorSocket: socket, serialSocket: serial).write(in: directory)
            #expect(try await LibvirtMachines(uri: Self.testURI).find(name, runtimeDirectory: directory) == nil)
            #expect(try FileTree.names(in: directory) == [])
        }
    }

    private static func bind(_ descriptor: Int32, to path: FilePath) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.string.utf8.prefix($0.count - 1)) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    @Test("no service at the address: an error that says where, why, and what to do")
    func unreachable() async throws {
        try await withTemporaryDirectory { directory in
            let socket = directory.appending("sock")
            let uri = "qemu+unix:///system?socket=\(socket)"
            let error = await #expect(throws: VirtualMachineError.self) {
                _ = try await LibvirtMachines(uri: uri)
                    .find(try #require(VirtualMachineName("any")), runtimeDirectory: directory)
            }
            #expect(
                error?.description
                    == "virtual machine 'any': libvirt can't be reached at \(uri): Failed to connect socket to "
                    + "'\(socket)': No such file or directory (see whether its service runs: 'systemctl status libvirtd', "
                    + "'virsh -c \(uri) list')"
            )
            #expect(error?.kind == .unreachable)
        }
    }

    @Test("libvirtd goes away and comes back: who waits is told, and the machine is there again")
    func restart() async throws {
        guard Requirements.isMet(getuid() == 0, "a libvirtd of the test's own needs root"),
            Requirements.isMet(FileTree.exists("/usr/sbin/libvirtd"), "no libvirtd: apt install libvirt-daemon")
        else { return }
        try await withTemporaryDirectory { directory in
            let service = PrivateLibvirtd(in: directory, by: LocalTransport())
            try await service.start()
            let machines = LibvirtMachines(uri: service.uri)
            let name = try #require(VirtualMachineName("survivor"))
            var definition = VirtualMachineDefinition(
                name: name,
                memory: MemorySize(kibibytes: 65536),
                cpus: 1,
                boot: .devices([.disk]),
                runtimeDirectory: directory
            )
            let disk = directory.appending("disk")
            try FileTree.write([UInt8](repeating: 0, count: 1 << 20), to: disk)
            definition.disks = [VirtualDisk(disk)]
            definition.monitorSocket = directory.appending("monitor")

            let machine = try await machines.start(definition)
            let process = try #require(machine.processID)
            #expect(try await machine.state() == .running)
            #expect(await Self.refusal { _ = try await machines.start(definition) } == .alreadyRunning)

            let waiting = Task { try await machine.waitUntilEnded() }
            // The wait is entered when a question asked after it is answered.
            _ = try await machine.state()
            try await service.stop()
            #expect(await Self.refusal { _ = try await waiting.value } == .unreachable)
            let error = await #expect(throws: VirtualMachineError.self) { try await machine.pause() }
            #expect(error?.kind == .unreachable)
            #expect(error?.detail.hasPrefix("libvirt can't be reached at \(service.uri): ") == true)

            try await service.start()
            #expect(try await machine.state() == .running)
            let found = try #require(try await machines.find(name, runtimeDirectory: directory))
            #expect(found.processID == process)
            let other = LibvirtMachines(uri: service.uri)
            let again = try #require(try await other.find(name, runtimeDirectory: directory))
            try await again.kill()
            #expect(try await machine.waitUntilEnded() == .killed)
            #expect(!FileTree.exists(directory.appending("monitor")))
            #expect(!FileTree.exists(directory.appending("libvirt-domain")))
            #expect(try await machines.find(name, runtimeDirectory: directory) == nil)
            try await service.stop()
        }
    }

    private static func refusal(_ body: () async throws -> Void) async -> VirtualMachineError.Kind? {
        do {
            try await body()
            return nil
        } catch {
            return (error as? VirtualMachineError)?.kind
        }
    }
}
