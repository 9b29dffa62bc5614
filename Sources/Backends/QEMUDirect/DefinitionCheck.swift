import BuildOSKit
import Glibc

/// What can be told of a definition before anything is started: what can't be, and what is not there.
struct DefinitionCheck {
    let definition: VirtualMachineDefinition

    static let firstDisplayPort = 5900
    /// Bytes of a path in a socket's address (unix(7)), without the final zero.
    static let longestSocketPath = 107

    func run() throws(VirtualMachineError) {
        try checkNumbers()
        try checkTexts()
        try checkBoard()
        try checkOptions()
        try checkResources()
    }

    /// Whether KVM is to be used.
    func usesKVM() throws(VirtualMachineError) -> Bool {
        if definition.acceleration == .tcg { return false }
        switch KVMSupport.current {
        case .works: return true
        case .missing where definition.acceleration == .automatic: return false
        case .missing(let reason, let remedy): throw error(.missingResource, "KVM does not work: \(reason)", remedy)
        }
    }

    private func checkNumbers() throws(VirtualMachineError) {
        guard definition.cpus >= 1 else { throw invalid("it has no CPU") }
        guard definition.memory.mebibytes >= 1 else { throw invalid("it has less than 1 MiB of memory") }
        guard (-20...19).contains(definition.nice) else {
            throw invalid("the nice value \(definition.nice) is not one from -20 to 19")
        }
        if let limit = definition.memoryLimit, limit < definition.memory {
            throw invalid("its memory limit, \(limit), is below its memory, \(definition.memory)")
        }
        if let display = definition.display {
            guard (Self.firstDisplayPort...65535).contains(display.port) else {
                throw invalid("the display's port \(display.port) is not one from 5900 to 65535")
            }
            guard Self.isNumeric(display.host) else { throw invalid("'\(display.host)' is not a numeric address") }
        }
        for case .user(let forwards) in definition.interfaces.map(\.connection) {
            for forward in forwards
            where !(1...65535).contains(forward.hostPort) || !(1...65535).contains(forward.guestPort) {
                throw invalid("\(forward.hostPort) to \(forward.guestPort) is not a pair of ports")
            }
        }
    }

    private func checkTexts() throws(VirtualMachineError) {
        for slot in [RunDirectory(definition.runtimeDirectory).socket(0)]
            + [definition.monitorSocket, definition.serialSocket].compactMap({ $0 })
        where slot.string.utf8.count > Self.longestSocketPath {
            throw error(
                .invalidDefinition,
                "the path of the socket \(slot) is longer than \(Self.longestSocketPath) bytes",
                "choose a directory with a shorter path"
            )
        }
        let paths = [
            definition.workingDirectory, definition.serialLog, definition.monitorSocket, definition.serialSocket,
        ]
        for path in paths.compactMap({ $0 }) + [definition.runtimeDirectory]
        where !path.isAbsolute || path.string.contains("\n") {
            throw invalid("'\(path)' is not an absolute path on one line")
        }
        for case .tap(let name) in definition.interfaces.map(\.connection)
        where name.isEmpty || name.utf8.count > 15 || name.utf8.contains(UInt8(ascii: "/")) {
            throw invalid("'\(name)' is not the name of a network interface")
        }
        let texts = (definition.deviceOptions ?? []) + [definition.cpuModel ?? "", commandLine]
        guard !texts.contains(where: { $0.utf8.contains(0) }) else { throw invalid("an option holds a zero byte") }
        guard definition.cpuModel?.hasPrefix("-") != true, definition.cpuModel?.isEmpty != true else {
            throw invalid("'\(definition.cpuModel ?? "")' is not a CPU model")
        }
    }

    private func checkBoard() throws(VirtualMachineError) {
        if case .devices(let devices) = definition.boot {
            guard definition.board != .microvm else { throw invalid("a microvm boots from a kernel only") }
            guard !devices.isEmpty else { throw invalid("it has nothing to boot from") }
            guard Set(devices).count == devices.count else { throw invalid("a boot device is named twice") }
            guard definition.deviceOptions == nil else { return }
            if devices.contains(.disk), definition.disks.isEmpty { throw invalid("it boots from a disk and has none") }
            if devices.contains(.network), definition.interfaces.isEmpty {
                throw invalid("it boots from the network and has no interface")
            }
        }
        if definition.board == .microvm, definition.hasGenerationID { throw invalid("a microvm has no vmgenid") }
    }

    private func checkOptions() throws(VirtualMachineError) {
        let fields = (definition.deviceOptions ?? []).flatMap { $0.split(separator: ",") }
        if fields.contains("mac=?"), definition.interfaces.isEmpty {
            throw invalid("its options want a MAC address, and it has no interface")
        }
        if fields.contains("ifname=?") {
            guard case .tap = definition.interfaces.first?.connection else {
                throw invalid("its options want a tap device, and its first interface is none")
            }
        }
    }

    private func checkResources() throws(VirtualMachineError) {
        guard FileTree.isDirectory(definition.runtimeDirectory) else {
            throw missing("there is no directory \(definition.runtimeDirectory)")
        }
        if let directory = definition.workingDirectory, !FileTree.isDirectory(directory) {
            throw missing("there is no directory \(directory)")
        }
        if case .kernel(let kernel, let initrd, _) = definition.boot {
            for file in [kernel] + [initrd].compactMap({ $0 }) { try checkAccess(definition.resolve(file), R_OK) }
        }
        guard definition.deviceOptions == nil else { return }
        for disk in definition.disks {
            try checkAccess(definition.resolve(disk.path), disk.isReadOnly ? R_OK : R_OK | W_OK)
        }
        if let name = definition.missingTap {
            throw error(.missingResource, "there is no tap device \(name)", "make it: ip tuntap add \(name) mode tap")
        }
    }

    private func checkAccess(_ file: FilePath, _ mode: Int32) throws(VirtualMachineError) {
        guard access(file.string, mode) != 0 else { return }
        let reason = Errno(rawValue: errno)
        throw missing("can't \(mode & W_OK == 0 ? "read" : "write") \(file): \(reason)")
    }

    private var commandLine: String {
        if case .kernel(_, _, let commandLine) = definition.boot { commandLine } else { "" }
    }

    private static func isNumeric(_ host: String) -> Bool {
        var buffer = in6_addr()
        return inet_pton(AF_INET, host, &buffer) == 1 || inet_pton(AF_INET6, host, &buffer) == 1
    }

    private func invalid(_ detail: String) -> VirtualMachineError { error(.invalidDefinition, detail, nil) }
    private func missing(_ detail: String) -> VirtualMachineError { error(.missingResource, detail, nil) }
    private func error(
        _ kind: VirtualMachineError.Kind,
        _ detail: String,
        _ remedy: String?
    ) -> VirtualMachineError {
        VirtualMachineError(kind, machine: definition.name.description, detail: detail, remedy: remedy)
    }
}
