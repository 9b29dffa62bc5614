import BuildOSKit
import Glibc

/// What this backend keeps in a machine's runtime directory.
struct RunDirectory: Sendable {
    let path: FilePath

    /// Programs that can speak QMP with a machine at a time, beside the one that started it: QEMU gives a socket to one
    /// client after the other.
    static let slots = 3

    init(_ path: FilePath) { self.path = path }

    /// What QEMU says on its standard output and error.
    var log: FilePath { path.appending("qemu.log") }
    var recordFile: FilePath { path.appending("qemu.machine") }
    func socket(_ slot: Int) -> FilePath { path.appending("qmp-\(slot)") }
    func lock(_ slot: Int) -> FilePath { path.appending("qmp-\(slot).lock") }

    /// The last words of QEMU, without what the sandbox and TCG always say.
    var lastWords: String {
        guard let descriptor = try? FileDescriptor.open(log, .readOnly, options: .closeOnExec) else { return "" }
        defer { try? descriptor.close() }
        let size = (try? descriptor.seek(offset: 0, from: .end)) ?? 0
        var buffer = [UInt8](repeating: 0, count: 4096)
        let start = max(0, size - Int64(buffer.count))
        let count =
            (try? buffer.withUnsafeMutableBytes { try descriptor.read(fromAbsoluteOffset: start, into: $0) }) ?? 0
        let lines = String(decoding: buffer.prefix(count), as: UTF8.self).split(separator: "\n")
            .filter { !$0.contains("TCG doesn't support requested feature") }
            .map { line in
                // "qemu-system-x86_64: " says nothing that the reader doesn't know.
                line.hasPrefix("\(QEMUProgram.name): ") ? line.dropFirst(QEMUProgram.name.count + 2) : line
            }
        return lines.suffix(5).joined(separator: "; ")
    }

    /// The machine whose directory this is; `nil` if there is none.
    var record: MachineRecord? {
        guard let text = try? FileTree.readText(recordFile) else { return nil }
        return MachineRecord(parsing: text)
    }

    /// Removes what is left of a machine that is dead: what was put here, its sockets, its control group. Does
    /// nothing if the directory is another's by now.
    func removeAll(of machine: MachineRecord) {
        guard record == machine else { return }
        if let cgroup = machine.cgroup { MemoryCgroup(path: cgroup).remove() }
        if let monitorSocket = machine.monitorSocket { unlink(monitorSocket.string) }
        if let serialSocket = machine.serialSocket { unlink(serialSocket.string) }
        let files = [log] + (0..<Self.slots).flatMap { [socket($0), lock($0)] } + [recordFile]
        for file in files { unlink(file.string) }
    }

    /// Takes one of the sockets for this process.
    ///
    /// - Returns: its number, and the descriptor that holds it until it is closed; `nil` if all are taken.
    func takeSlot() -> (slot: Int, lock: FileDescriptor)? {
        for slot in 0..<Self.slots {
            guard
                let file = try? FileDescriptor.open(
                    lock(slot),
                    .readWrite,
                    options: [.create, .closeOnExec, .noFollow],
                    permissions: .ownerReadWrite
                )
            else { continue }
            if flock(file.rawValue, LOCK_EX | LOCK_NB) == 0 { return (slot, file) }
            try? file.close()
        }
        return nil
    }
}

/// What must be known of a machine to clean up after it, whoever started it: `key=value` lines.
struct MachineRecord: Sendable, Equatable {
    /// Random: tells this machine from a later one of its name.
    var id: UInt64
    var name: VirtualMachineName
    var monitorSocket: FilePath?
    var serialSocket: FilePath?
    var cgroup: FilePath?
    var endsOnReset: Bool
    /// Whether the firmware answers a press of the reset button with resets of its own, as SeaBIOS does.
    var firmwareResets: Bool

    var text: String {
        var text = "id=\(id)\nname=\(name)\nends-on-reset=\(endsOnReset)\nfirmware-resets=\(firmwareResets)\n"
        if let monitorSocket { text += "monitor=\(monitorSocket)\n" }
        if let serialSocket { text += "serial=\(serialSocket)\n" }
        if let cgroup { text += "cgroup=\(cgroup)\n" }
        return text
    }

    init(
        id: UInt64,
        name: VirtualMachineName,
        monitorSocket: FilePath?,
        serialSocket: FilePath?,
        cgroup: FilePath?,
        endsOnReset: Bool,
        firmwareResets: Bool
    ) {
        self.id = id
        self.name = name
        self.monitorSocket = monitorSocket
        self.serialSocket = serialSocket
        self.cgroup = cgroup
        self.endsOnReset = endsOnReset
        self.firmwareResets = firmwareResets
    }

    /// `nil` if the text is not of a record.
    init?(parsing text: String) {
        var values: [Substring: Substring] = [:]
        for line in text.split(separator: "\n") {
            guard let sign = line.firstIndex(of: "=") else { return nil }
            values[line[..<sign]] = line[line.index(after: sign)...]
        }
        guard let id = values["id"].flatMap({ UInt64($0) }),
            let name = values["name"].flatMap({ VirtualMachineName(String($0)) })
        else { return nil }
        self.id = id
        self.name = name
        monitorSocket = values["monitor"].map { FilePath(String($0)) }
        serialSocket = values["serial"].map { FilePath(String($0)) }
        cgroup = values["cgroup"].map { FilePath(String($0)) }
        endsOnReset = values["ends-on-reset"] == "true"
        firmwareResets = values["firmware-resets"] == "true"
    }
}
