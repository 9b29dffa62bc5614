import BuildOSKit
import QEMUDirect

/// Starts a machine by QEMU's backend, says so, and ends it when its standard input ends.
///
/// Arguments: the machine's name, kernel, initrd, the file for its serial port, a directory for its run time.
@main struct QEMUStart {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 6, let name = VirtualMachineName(arguments[1]) else {
            print("usage: qemu-bench-start NAME KERNEL INITRD SERIAL DIRECTORY")
            return
        }
        var definition = VirtualMachineDefinition(
            name: name,
            memory: MemorySize(kibibytes: 256 << 10),
            cpus: 1,
            boot: .kernel(
                FilePath(arguments[2]),
                initrd: FilePath(arguments[3]),
                commandLine: "console=ttyS0 earlyprintk=ttyS0 guest=idle"
            ),
            runtimeDirectory: FilePath(arguments[5])
        )
        definition.serialLog = FilePath(arguments[4])
        let machine = try await QEMUDirect().start(definition)
        _ = try FileDescriptor.standardOutput.writeAll("started\n".utf8)
        while readLine() != nil {}
        try await machine.kill()
    }
}
