import Glibc
import Synchronization

/// What saved memory holds for on this host. A build must not wait for it: the processor is looked at once, the
/// hypervisor's version again when its program is another file.
final class HypervisorFacts: Sendable {
    private struct Program: Hashable {
        var device: UInt
        var inode: UInt
        var size: Int
        var changed: Int
    }

    private struct State {
        var processor: String?
        var version: (of: Program, text: String)?
    }

    private static let program = "qemu-system-x86_64"

    private let transport: any Transport
    private let state = Mutex(State())

    init(transport: any Transport) { self.transport = transport }

    /// The processors' model and flags, each different line once.
    ///
    /// - Throws: ``FileError``
    func processor() throws(FileError) -> String {
        if let known = state.withLock({ $0.processor }) { return known }
        let lines = try FileTree.readText("/proc/cpuinfo", limit: 64 << 20).split(separator: "\n").filter { line in
            ["vendor_id", "cpu family", "model", "stepping", "microcode", "flags"].contains { line.hasPrefix($0) }
        }
        let text = Set(lines).sorted().joined(separator: "\n")
        state.withLock { $0.processor = text }
        return text
    }

    /// The first line of what QEMU says of its version; empty if there is none on this host.
    func version() async -> String {
        let program = Self.currentProgram()
        if let known = state.withLock({ $0.version }), known.of == program { return known.text }
        let result = try? await transport.check(Command(Self.program, ["--version"]), timeLimit: .seconds(30))
        let text = String(result?.outputText.prefix { !$0.isNewline } ?? "")
        if let program { state.withLock { $0.version = (program, text) } }
        return text
    }

    private static func currentProgram() -> Program? {
        for directory in (HostProcess.environmentVariable("PATH") ?? "/usr/bin:/bin").split(separator: ":") {
            var status = stat()
            guard stat("\(directory)/\(program)", &status) == 0 else { continue }
            return Program(
                device: UInt(status.st_dev),
                inode: UInt(status.st_ino),
                size: Int(status.st_size),
                changed: status.st_ctim.tv_sec
            )
        }
        return nil
    }
}
