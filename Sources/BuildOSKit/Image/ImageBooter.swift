import Glibc

/// Boots an image in QEMU on this machine, with what that needs in a temporary directory that is gone afterwards.
public struct ImageBooter: Sendable {
    /// What to boot, and with what.
    public struct Options: Sendable {
        /// The image.
        public var image: ImageFiles
        /// Whether it is booted over the (user) network.
        public var overNetwork = false
        /// The kernel command line.
        public var append = ""
        /// The operator's disks.
        public var disks: [FilePath] = []
        /// Whether empty disks with the labels of state and machines are made for this boot.
        public var scratchDisks = false
        /// MiB of RAM.
        public var memory = 4096
        /// CPUs; `nil` for what ``BootPlan/cpus`` makes of it.
        public var cpus: Int?
        /// The port of this machine's loopback that leads to the guest's SSH server.
        public var sshPort: UInt16?

        /// Options that boot the image directly, without disks.
        public init(image: ImageFiles) { self.image = image }
    }

    private let transport: any Transport
    private let options: Options

    /// Creates a booter.
    public init(transport: any Transport, options: Options) {
        self.transport = transport
        self.options = options
    }

    /// The programs and files that the boot needs.
    public var tools: [ImageTool] {
        ImageTool.forBooting(overNetwork: options.overNetwork, scratchDisks: options.scratchDisks)
    }

    /// Runs the guest until it is switched off or the task is cancelled.
    ///
    /// - Throws: ``ImageBuildError``, ``PXEConfigurationError``, ``FileError``, ``TransportError``
    public func boot() async throws {
        let path = ImageTool.searchPath
        let missing = ImageTool.missing(tools, path: path)
        guard missing.isEmpty else { throw ImageBuildError(.missingPrograms(missing)) }
        for file in [options.image.kernel, options.image.initrd] + options.disks where !FileTree.exists(file) {
            throw FileError("open", file, .noSuchFileOrDirectory)
        }

        let directory = FilePath(HostProcess.environmentVariable("TMPDIR") ?? "/tmp")
            .appending("buildos-boot-\(getpid())")
        try FileTree.remove(directory)
        try FileTree.makeDirectory(directory, permissions: [.ownerReadWriteExecute])
        do {
            try await boot(in: directory, searchPath: path)
            try FileTree.remove(directory)
        } catch {
            try? FileTree.remove(directory)
            throw error
        }
    }

    private func boot(in directory: FilePath, searchPath: String) async throws {
        var plan = BootPlan(
            method: .direct(options.image),
            append: options.append,
            disks: options.disks.map(BootPlan.Disk.init),
            memory: options.memory,
            cpus: options.cpus,
            sshPort: options.sshPort,
            usesKVM: BootPlan.canUseKVM(cpuinfo: try FileTree.readText("/proc/cpuinfo", limit: 64 << 20))
        )
        if options.overNetwork {
            plan.method = .pxe(tftpDirectory: try makeBootServer(in: directory, commandLine: plan.commandLine))
        }
        if options.scratchDisks {
            plan.disks += try await makeScratchDisks(in: directory, searchPath: searchPath)
        }
        let result = try await transport.run(
            plan.command,
            input: .inherited,
            output: .inherited,
            error: .inherited,
            timeLimit: nil
        )
        // Ctrl-C reaches QEMU as well, which then ends by itself.
        if Task.isCancelled || result.status == .exited(0) || result.status == .signalled(SIGINT) { return }
        throw TransportError(.failed(result.status), command: plan.command)
    }

    /// A directory for QEMU's TFTP server. Links lead to what is too big to copy.
    private func makeBootServer(in directory: FilePath, commandLine: String) throws -> FilePath {
        let text = try PXEConfiguration.text(commandLine: commandLine)
        let server = directory.appending("tftp")
        try FileTree.makeDirectory(server.appending("pxelinux.cfg"))
        try FileTree.write(text, to: server.appending(PXEConfiguration.defaultPath))
        for file in PXEConfiguration.programs + [options.image.kernel, options.image.initrd] {
            let link = server.appending(file.lastComponent?.string ?? "")
            let target = try absolute(file)
            guard symlink(target, link.string) == 0 else {
                throw FileError("make the link", link, Errno(rawValue: errno))
            }
        }
        return server
    }

    private func absolute(_ path: FilePath) throws(FileError) -> String {
        guard let resolved = realpath(path.string, nil) else {
            throw FileError("resolve", path, Errno(rawValue: errno))
        }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Sparse files that take room only as the guest writes.
    private func makeScratchDisks(in directory: FilePath, searchPath: String) async throws -> [BootPlan.Disk] {
        let state = directory.appending("state.raw")
        let machines = directory.appending("machines.raw")
        for (path, size) in [(state, Int64(256) << 20), (machines, Int64(16) << 30)] {
            do {
                let file = try FileDescriptor.open(
                    path,
                    .writeOnly,
                    options: [.create, .truncate, .closeOnExec],
                    permissions: [.ownerReadWrite]
                )
                defer { try? file.close() }
                try file.resize(to: size)
            } catch { throw FileError("make", path, error as? Errno ?? .ioError) }
        }
        let environment: [String: String?] = ["PATH": searchPath]
        try await transport.check(
            Command("mkfs.ext4", ["-q", "-F", "-L", "buildos.state", state.string], environment: environment)
        )
        try await transport.check(
            Command("mkfs.btrfs", ["-q", "-L", "buildos.machines", machines.string], environment: environment)
        )
        return [BootPlan.Disk(state), BootPlan.Disk(machines)]
    }
}
