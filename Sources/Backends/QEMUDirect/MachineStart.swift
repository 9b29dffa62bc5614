import BuildOSKit
import Glibc
import QMP

/// Starts a machine. Whatever step fails, those before it are undone.
struct MachineStart {
    let definition: VirtualMachineDefinition
    let program: FilePath
    let memory: FilePath?
    private let directory: RunDirectory

    /// How long QEMU has until it answers: it reads its firmware and disks first.
    private static let startLimit: Duration = .seconds(60)

    init(_ definition: VirtualMachineDefinition, program: FilePath, memory: FilePath?) {
        self.definition = definition
        self.program = program
        self.memory = memory
        directory = RunDirectory(definition.runtimeDirectory)
    }

    func run() async throws(VirtualMachineError) -> MachineSession {
        let check = DefinitionCheck(definition: definition)
        try check.run()
        let usesKVM = try check.usesKVM()
        let saved = try openMemory()
        defer { try? saved?.close() }
        // QEMU inherits the name; this process lets go of it when QEMU has it, or failed.
        let lock = try NameLock(definition.name)
        try clearDirectory()

        let group = try makeGroup()
        let record = MachineRecord(
            id: UInt64.random(in: .min ... .max),
            name: definition.name,
            monitorSocket: definition.monitorSocket,
            serialSocket: definition.serialSocket,
            cgroup: group?.path,
            endsOnReset: definition.endsOnReset,
            firmwareResets: definition.board != .microvm
        )
        let session: MachineSession
        do throws(VirtualMachineError) {
            session = try await launch(record, usesKVM: usesKVM, lock: lock.descriptor)
        } catch {
            directory.removeAll(of: record)
            group?.remove()
            throw error
        }
        do throws(VirtualMachineError) {
            try await bringUp(session, group: group, saved: saved)
            return session
        } catch {
            let words = directory.lastWords
            await session.end(politely: false)
            throw explain(error, exit: session.exit, words: words, isRestoring: saved != nil)
        }
    }

    private func openMemory() throws(VirtualMachineError) -> FileDescriptor? {
        guard let memory else { return nil }
        do {
            return try FileDescriptor.open(memory, .readOnly, options: .closeOnExec)
        } catch {
            throw self.error(.missingResource, "can't read its saved memory \(memory): \(error)")
        }
    }

    /// Removes what a machine that died has left in the directory.
    private func clearDirectory() throws(VirtualMachineError) {
        if let old = directory.record {
            if old.name != definition.name {
                // Held if that one runs, which is then not to be disturbed.
                do throws(VirtualMachineError) { _ = try NameLock(old.name) } catch {
                    throw self.error(.invalidDefinition, "its runtime directory is that of '\(old.name)', which runs")
                }
            }
            directory.removeAll(of: old)
        }
        if let socket = definition.monitorSocket { try checkFree(socket, "monitor") }
        if let socket = definition.serialSocket { try checkFree(socket, "serial") }
    }

    /// QEMU removes whatever stands in the way of a socket.
    private func checkFree(_ socket: FilePath, _ name: String) throws(VirtualMachineError) {
        var status = stat()
        guard lstat(socket.string, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK, (try? QMPConnection(connectingTo: socket.string)) == nil else {
            throw error(.invalidDefinition, "the path of its \(name) socket, \(socket), is taken")
        }
    }

    private func makeGroup() throws(VirtualMachineError) -> MemoryCgroup? {
        guard let limit = definition.memoryLimit, let base = MemoryCgroup.base else { return nil }
        do throws(FileError) {
            return try MemoryCgroup.make(for: definition.name, in: base, limit: limit)
        } catch {
            throw self.error(.cannotStart, "can't limit its memory: \(error)")
        }
    }

    private func launch(
        _ record: MachineRecord,
        usesKVM: Bool,
        lock: Int32
    ) async throws(VirtualMachineError) -> MachineSession {
        do throws(FileError) {
            try FileTree.write(record.text, to: directory.recordFile, permissions: .ownerReadWrite)
        } catch {
            throw self.error(.cannotStart, error.description)
        }
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw error(.cannotStart, "no sockets: \(Errno(rawValue: errno))")
        }
        let connection = QMPConnection(socket: ends[0])
        defer { close(ends[1]) }
        let launch = HypervisorLaunch(
            program: program,
            arguments: arguments(usesKVM: usesKVM).all,
            workingDirectory: definition.workingDirectory,
            log: directory.log,
            descriptors: [ends[1], lock],
            nice: definition.nice,
            affinity: definition.affinity
        )
        let process: HypervisorProcess
        do throws(LaunchError) {
            process = try await launch.run()
        } catch {
            throw self.error(.cannotStart, error.detail, remedy: error.remedy)
        }
        let session = MachineSession(
            record: record,
            directory: directory,
            process: process,
            connection: connection
        )
        do throws(VirtualMachineError) {
            try session.follow()
        } catch {
            process.kill()
            _ = process.wait()
            throw error
        }
        return session
    }

    private func bringUp(
        _ session: MachineSession,
        group: MemoryCgroup?,
        saved: FileDescriptor?
    ) async throws(VirtualMachineError) {
        do throws(FileError) {
            try group?.add(session.process.id)
        } catch {
            throw self.error(.cannotStart, "can't limit its memory: \(error)")
        }
        do throws(QMPError) {
            try await session.connection.negotiate(timeLimit: Self.startLimit)
        } catch {
            throw await session.explain(error)
        }
        if let saved {
            try await MemoryRestore(session: session, descriptor: saved).run()
            if !definition.startsPaused { try await session.execute("cont") }
        }
    }

    /// The error of a start, from what broke it and what QEMU said.
    private func explain(
        _ cause: VirtualMachineError,
        exit: VirtualMachineExit?,
        words: String,
        isRestoring: Bool
    ) -> VirtualMachineError {
        switch cause.kind {
        case .cancelled, .timedOut, .cannotStart: return cause
        default: break
        }
        var detail = cause.detail
        if case .crashed(let ending) = exit { detail = ending } else if !words.isEmpty { detail = words }
        if isRestoring {
            return error(
                .badSnapshot,
                detail,
                remedy: "saved memory fits the same definition and the same version of QEMU; boot it instead"
            )
        }
        return error(.cannotStart, detail)
    }

    private func arguments(usesKVM: Bool) -> QEMUArguments {
        QEMUArguments(
            definition: definition,
            directory: directory,
            usesKVM: usesKVM,
            macAddresses: definition.interfaces.map { _ in .random() },
            blockDevices: Set(
                definition.disks.indices.filter { Self.isBlockDevice(definition.resolve(definition.disks[$0].path)) }
            ),
            isRestoring: memory != nil
        )
    }

    private static func isBlockDevice(_ path: FilePath) -> Bool {
        var status = stat()
        return stat(path.string, &status) == 0 && status.st_mode & S_IFMT == S_IFBLK
    }

    private func error(
        _ kind: VirtualMachineError.Kind,
        _ detail: String,
        remedy: String? = nil
    ) -> VirtualMachineError {
        VirtualMachineError(kind, machine: definition.name.description, detail: detail, remedy: remedy)
    }
}
