import BuildOSKit
import FoundationEssentials
import Glibc

internal import CLibvirt

/// Virtual machines as transient domains of libvirt's QEMU driver, on this machine or another.
public struct LibvirtMachines: VirtualMachines {
    public let backendName = LibvirtProvider.name

    /// What it can do where it is connected to: memory is saved to files of this machine.
    public var capabilities: VirtualMachineCapabilities { .ofLibvirt(isLocal: session.isLocal) }

    private let session: HypervisorSession

    /// Machines of one hypervisor. The connection is made when it is first needed, and again when it was lost.
    ///
    /// - Parameter uri: where it is (libvirt.org/uri.html).
    public init(uri: String = "qemu:///system") {
        session = HypervisorSession(uri: uri)
    }

    public func start(
        _ definition: VirtualMachineDefinition,
        restoring memory: FilePath?
    ) async throws(VirtualMachineError) -> any VirtualMachine {
        let uuid = UUID().uuidString.lowercased()
        let definition = Self.completed(definition)
        let usesKVM = try await usesKVM(definition)
        let description = DomainDescription(
            definition: definition,
            uuid: uuid,
            usesKVM: usesKVM,
            awaitsMemory: memory != nil,
            isBlockDevice: blockDeviceRule
        )
        let xml = try description.xml()
        try checkResources(of: definition, memory)
        guard session.isLocal || memory == nil else {
            throw .unsupported(
                "restoring the memory of a machine on another host",
                definition.name,
                backend: backendName
            )
        }
        guard session.isLocal || definition.nice == 0 else {
            throw .unsupported("the nice value of a machine on another host", definition.name, backend: backendName)
        }

        let note = MachineNote(
            uuid: uuid,
            monitorSocket: definition.monitorSocket,
            serialSocket: definition.serialSocket
        )
        try await claimDirectory(of: definition, with: note)
        let watch = session.watches.watch(uuid, name: definition.name)
        watch.atEnd { [directory = definition.runtimeDirectory] in note.removeAll(in: directory) }
        do throws(VirtualMachineError) {
            return try await start(definition, uuid, xml, watch, memory)
        } catch {
            await remove(uuid, watch)
            throw error
        }
    }

    /// Takes the machine's directory, unless one that runs has it or its name.
    private func claimDirectory(
        of definition: VirtualMachineDefinition,
        with note: MachineNote
    ) async throws(VirtualMachineError) {
        let name = definition.name.description
        let directory = definition.runtimeDirectory
        let old = MachineNote.read(in: directory)
        let (isNameTaken, isDirectoryTaken): (Bool, Bool)
        do throws(LibvirtFailure) {
            (isNameTaken, isDirectoryTaken) = try await session.call { (connection: virConnectPtr) in
                (
                    Self.isActive(virDomainLookupByName(connection, name)),
                    old.map { Self.isActive(virDomainLookupByUUIDString(connection, $0.uuid)) } ?? false
                )
            }
        } catch {
            throw error.error(of: name, at: session.uri)
        }
        if isNameTaken { throw alreadyRunning(name) }
        guard !isDirectoryTaken else {
            throw VirtualMachineError(
                .invalidDefinition,
                machine: name,
                detail: "its runtime directory \(directory) is that of another machine, which runs"
            )
        }
        old?.removeAll(in: directory)
        for case let (kind, socket?) in [("monitor", definition.monitorSocket), ("serial", definition.serialSocket)]
        where session.isLocal {
            guard await MachineNote.isTaken(socket) else { continue }
            throw VirtualMachineError(
                .invalidDefinition,
                machine: name,
                detail: "the path of its \(kind) socket, \(socket), is taken"
            )
        }
        do throws(Errno) {
            try note.write(in: directory)
        } catch  where error == .fileExists {
            throw alreadyRunning(name)
        } catch {
            throw VirtualMachineError(
                .missingResource,
                machine: name,
                detail: "can't write to its directory \(directory): \(error)"
            )
        }
    }

    private static func isActive(_ domain: virDomainPtr?) -> Bool {
        guard let domain else { return false }
        defer { virDomainFree(domain) }
        return virDomainIsActive(domain) == 1
    }

    private func alreadyRunning(_ name: String) -> VirtualMachineError {
        VirtualMachineError(
            .alreadyRunning,
            machine: name,
            detail: "a domain of that name runs at \(session.uri), or is being started",
            remedy: "end it, or give this one another name"
        )
    }

    private func start(
        _ definition: VirtualMachineDefinition,
        _ uuid: String,
        _ xml: String,
        _ watch: DomainWatch,
        _ memory: FilePath?
    ) async throws(VirtualMachineError) -> LibvirtMachine {
        let standsAtFirst =
            memory != nil || definition.nice != 0 || definition.memoryLimit != nil || definition.startsPaused
        let name = definition.name.description
        try await create(xml, name, standing: standsAtFirst)
        let process = session.isLocal ? await Self.process(of: uuid) : nil
        let machine = LibvirtMachine(
            name: definition.name,
            uuid: uuid,
            processID: process,
            session: session,
            watch: watch
        )
        if standsAtFirst {
            if let limit = definition.memoryLimit { try await setMemoryLimit(limit, uuid, definition.name) }
            if let process, definition.nice != 0 {
                do throws(LibvirtFailure) {
                    try HypervisorProcess.setNice(definition.nice, process: process)
                } catch {
                    throw error.error(of: name, at: session.uri)
                }
            }
            if let memory {
                try await MemoryTransfer(session: session, uuid: uuid, name: definition.name).restore(from: memory)
            }
            if !definition.startsPaused { try await machine.resume() }
        }
        guard !Task.isCancelled else {
            throw VirtualMachineError(.cancelled, machine: name, detail: "the task was cancelled")
        }
        return machine
    }

    private func create(
        _ xml: String,
        _ name: String,
        standing: Bool
    ) async throws(VirtualMachineError) {
        let flags = standing ? VIR_DOMAIN_START_PAUSED.rawValue : VIR_DOMAIN_NONE.rawValue
        let isTaken: Bool
        do throws(LibvirtFailure) {
            isTaken = try await session.call { (connection: virConnectPtr) throws(LibvirtFailure) in
                if let domain = virDomainCreateXML(connection, xml, flags) {
                    virDomainFree(domain)
                    return false
                }
                let failure = LibvirtFailure.last()
                guard Self.isActive(virDomainLookupByName(connection, name)) else { throw failure }
                return true
            }
        } catch {
            throw error.error(of: name, at: session.uri, otherwise: .cannotStart)
        }
        if isTaken { throw alreadyRunning(name) }
    }

    /// Removes what a start that failed has left.
    private func remove(_ uuid: String, _ watch: DomainWatch) async {
        // The caller's task may be cancelled: the domain must go all the same.
        let session = session
        await Task {
            try? await session.call(domain: uuid) { (domain: virDomainPtr) throws(LibvirtFailure) in
                guard virDomainDestroy(domain) == 0 else { throw .last() }
            }
            watch.settle(.killed)
            // Its end may have been heard of at this very moment; what belongs to it is gone once that is told.
            _ = try? await watch.waitUntilEnded()
        }.value
    }

    public func find(
        _ name: VirtualMachineName,
        runtimeDirectory: FilePath
    ) async throws(VirtualMachineError) -> (any VirtualMachine)? {
        let uuid: String?
        do throws(LibvirtFailure) {
            uuid = try await session.call { (connection: virConnectPtr) throws(LibvirtFailure) in
                guard let domain = virDomainLookupByName(connection, name.description) else {
                    let failure = LibvirtFailure.last()
                    if failure.isAboutNothing { return nil }
                    throw failure
                }
                defer { virDomainFree(domain) }
                return virDomainIsActive(domain) == 1 ? DomainIdentity.uuid(of: domain) : nil
            }
        } catch {
            throw error.error(of: name.description, at: session.uri)
        }
        let note = MachineNote.read(in: runtimeDirectory)
        if let note, note.uuid != uuid { note.removeAll(in: runtimeDirectory) }
        guard let uuid else { return nil }
        let watch = session.watches.watch(uuid, name: name)
        if let note, note.uuid == uuid { watch.atEnd { note.removeAll(in: runtimeDirectory) } }
        return LibvirtMachine(
            name: name,
            uuid: uuid,
            processID: session.isLocal ? await Self.process(of: uuid) : nil,
            session: session,
            watch: watch
        )
    }

    private static func process(of uuid: String) async -> Int32? {
        await DedicatedThread.run(name: "libvirt-process") { HypervisorProcess.find(uuid: uuid) }
    }

    // MARK: What a definition needs

    private func usesKVM(_ definition: VirtualMachineDefinition) async throws(VirtualMachineError) -> Bool {
        guard definition.acceleration != .tcg else { return false }
        if session.isLocal {
            switch KVMSupport.current {
            case .works: return true
            case .missing(let reason, let remedy):
                guard definition.acceleration == .kvm else { return false }
                throw VirtualMachineError(
                    .missingResource,
                    machine: definition.name.description,
                    detail: "KVM doesn't work here: \(reason)",
                    remedy: remedy
                )
            }
        }
        let offered: Bool
        do throws(LibvirtFailure) {
            offered = try await session.call { (connection: virConnectPtr) throws(LibvirtFailure) in
                guard let text = virConnectGetDomainCapabilities(connection, nil, "x86_64", nil, "kvm", 0) else {
                    return false
                }
                free(text)
                return true
            }
        } catch {
            throw error.error(of: definition.name.description, at: session.uri)
        }
        if definition.acceleration == .kvm, !offered {
            throw VirtualMachineError(
                .missingResource,
                machine: definition.name.description,
                detail: "\(session.uri) offers no KVM"
            )
        }
        return offered
    }

    /// With addresses for the interfaces that name none: libvirt would choose for those alone that it knows of.
    private static func completed(_ definition: VirtualMachineDefinition) -> VirtualMachineDefinition {
        var definition = definition
        for index in definition.interfaces.indices where definition.interfaces[index].macAddress == nil {
            definition.interfaces[index].macAddress = .random()
        }
        return definition
    }

    private var blockDeviceRule: @Sendable (FilePath) -> Bool {
        guard session.isLocal else { return { $0.string.hasPrefix("/dev/") } }
        return { path in
            var status = stat()
            return stat(path.string, &status) == 0 && status.st_mode & S_IFMT == S_IFBLK
        }
    }

    /// libvirt's words for what isn't there don't tell it from other failures; on this machine it can be looked at.
    private func checkResources(
        of definition: VirtualMachineDefinition,
        _ memory: FilePath?
    ) throws(VirtualMachineError) {
        guard session.isLocal else { return }
        var paths = [memory, definition.workingDirectory].compactMap { $0 }
        if definition.deviceOptions == nil { paths += definition.disks.map { definition.resolve($0.path) } }
        if case .kernel(let kernel, let initrd, _) = definition.boot { paths += [kernel, initrd].compactMap { $0 } }
        for path in paths where access(path.string, F_OK) != 0 {
            throw VirtualMachineError(
                .missingResource,
                machine: definition.name.description,
                detail: "\(path): \(Errno(rawValue: errno))"
            )
        }
        if let name = definition.missingTap {
            throw VirtualMachineError(
                .missingResource,
                machine: definition.name.description,
                detail: "there is no tap device \(name)",
                remedy: "make it: ip tuntap add \(name) mode tap"
            )
        }
    }

    /// Not by the domain's XML: libvirt ignores it there without control groups, and with them it limits locked memory as
    /// well, which it may not be allowed to.
    private func setMemoryLimit(
        _ limit: MemorySize,
        _ uuid: String,
        _ name: VirtualMachineName
    ) async throws(VirtualMachineError) {
        do throws(LibvirtFailure) {
            try await session.call(domain: uuid) { (domain: virDomainPtr) throws(LibvirtFailure) in
                guard clibvirt_set_memory_limit(domain, UInt64(limit.kibibytes)) == 0 else { throw .last() }
            }
        } catch  where error.isAboutState && !error.isAboutNothing {
            throw VirtualMachineError(
                .unsupported,
                machine: name.description,
                detail: "its memory can't be limited: \(error)",
                remedy: "mount the control groups of memory, or start it without a limit"
            )
        } catch {
            throw error.error(of: name.description, at: session.uri)
        }
    }
}
