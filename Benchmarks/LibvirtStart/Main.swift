import BuildOSKit
import Libvirt

/// Starts a machine by libvirt, says so, and ends it when its standard input ends.
///
/// Arguments: libvirt's URI, the machine's name, kernel, initrd, the file for its serial port, a directory for its run time.
@main struct LibvirtStart {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 7, let name = VirtualMachineName(arguments[2]) else {
            print("usage: libvirt-bench-start URI NAME KERNEL INITRD SERIAL DIRECTORY")
            return
        }
        var definition = VirtualMachineDefinition(
            name: name,
            memory: MemorySize(kibibytes: 256 << 10),
            cpus: 1,
            boot: .kernel(
                FilePath(arguments[3]),
                initrd: FilePath(arguments[4]),
                commandLine: "console=ttyS0 quiet guest=idle"
            ),
            runtimeDirectory: FilePath(arguments[6])
        )
        definition.serialLog = FilePath(arguments[5])
        let machine = try await LibvirtMachines(uri: arguments[1]).start(definition)
        _ = try FileDescriptor.standardOutput.writeAll("started\n".utf8)
        while readLine() != nil {}
        try await machine.kill()
    }
}
