/// Makes a build machine from Debian packages: a disk, a kernel with its initramfs, a manifest, and in the disk a worker
/// that speaks the protocol of build machines (docs/machines.md).
///
/// The machine is a subvolume of machine storage, complete and read-only when this returns, so that it can be sent to
/// build hosts as it is. Until then it is hidden; what a run that was killed left is removed by the next.
public struct MachineImageBuilder: Sendable {
    /// What is to be made.
    public struct Options: Sendable, Hashable {
        /// The new subvolume.
        public var output: FilePath
        /// What controllers are told of it.
        public var header: MachineHeader
        /// Debian packages besides those that every machine has.
        public var packages: [String]
        /// A program that an auxiliary machine runs at each start.
        public var service: FilePath?
        /// The size of its disk.
        public var diskSize: MemorySize
        /// A Debian mirror in place of mmdebstrap's own choice.
        public var mirror: String?
        /// The directory with `share/buildos/os`.
        public var prefix: FilePath

        /// Creates options.
        public init(
            output: FilePath,
            header: MachineHeader,
            packages: [String] = [],
            service: FilePath? = nil,
            diskSize: MemorySize = MemorySize(gibibytes: 8),
            mirror: String? = nil,
            prefix: FilePath
        ) {
            self.output = output
            self.header = header
            self.packages = packages
            self.service = service
            self.diskSize = diskSize
            self.mirror = mirror
            self.prefix = prefix
        }
    }

    private let steps: ImageSteps
    private let storage: any MachineStorage
    private let options: Options

    /// Creates a builder.
    public init(
        transport: any Transport,
        storage: any MachineStorage,
        options: Options,
        report: @escaping @Sendable (ImageBuilder.Event) -> Void
    ) {
        steps = ImageSteps(transport: transport, report: report)
        self.storage = storage
        self.options = options
    }

    private var parent: FilePath { options.output.removingLastComponent() }
    private var hidden: FilePath { parent.appending(".creating-\(options.output.lastComponent?.string ?? "machine")") }
    private var work: FilePath { FilePath("\(hidden).work") }
    private var recipeDirectory: FilePath { options.prefix.appending("share/buildos/os/machine") }

    /// Makes the machine.
    ///
    /// - Throws: ``ImageBuildError``, ``MachineStorageError``, ``TransportError``, ``FileError``, ``ManifestError``
    public func build() async throws {
        let recipe = try ImageRecipe(directory: recipeDirectory, adding: options.packages)
        guard !FileTree.exists(options.output) else {
            throw MachineStorageError(.alreadyExists, path: options.output, cause: "there is something of that name")
        }
        try FileTree.makeDirectory(parent)
        try await removeWork()
        do {
            try FileTree.makeDirectory(work)
            try await storage.create(hidden)
            try await fill(recipe)
            try await storage.synchronize(parent)
            try await storage.snapshot(hidden, to: options.output, readOnly: true)
            try await removeWork()
        } catch {
            // Not stopped by the cancellation that may have brought us here.
            await Task { try? await removeWork() }.value
            throw error
        }
    }

    private func removeWork() async throws {
        try LeftoverMounts.release(below: work)
        try FileTree.remove(work)
        if FileTree.exists(hidden) { try await storage.delete(hidden) }
    }

    private func fill(_ recipe: ImageRecipe) async throws {
        let root = work.appending("root")
        try await steps.step("Debian packages") {
            try await steps.run(
                ImageCommands.mmdebstrap(
                    recipe,
                    kernel: .cloud,
                    mirror: options.mirror,
                    epoch: ImageBuilder.Options.defaultEpoch,
                    root: root
                ),
                notes: true
            )
            return nil
        }
        try await steps.step("worker") {
            let overlay = work.appending("overlay")
            try await steps.run(ImageCommands.copy(recipeDirectory.appending("overlay"), to: overlay))
            try await steps.run(Command("chmod", ["--recursive", "u=rwX,go=rX", overlay.string]))
            try await steps.run(ImageCommands.copy(overlay, to: root))
            try await makeAuxiliary(root)
            let script = root.appending("finish")
            try await steps.run(Command("cp", [recipeDirectory.appending("finish").string, script.string]))
            try await steps.run(ImageCommands.finish(root, epoch: ImageBuilder.Options.defaultEpoch))
            try FileTree.remove(script)
            return nil
        }
        try await steps.step("kernel and initramfs") {
            try await takeKernel(of: root, recipe)
            return try FileTree.size(of: hidden.appending("vmlinuz"))
        }
        try await steps.step("disk") {
            try await steps.run(
                Command(
                    "mkfs.ext4",
                    [
                        "-q", "-F", "-L", "root", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1",
                        "-d", root.string, hidden.appending("disk.img").string, "\(options.diskSize.kibibytes)k",
                    ]
                )
            )
            return try await allocated(hidden.appending("disk.img"))
        }
        try FileTree.write(
            try ManifestSerializer.serialize([manifest.manifest]),
            to: hidden.appending(MachineManifest.fileName)
        )
    }

    private func makeAuxiliary(_ root: FilePath) async throws {
        guard options.header.role == .auxiliary else { return }
        let state = root.appending("var/lib/buildos-machine")
        try FileTree.makeDirectory(state)
        try FileTree.write("", to: state.appending("auxiliary"))
        guard let service = options.service else { return }
        let target = root.appending("usr/lib/buildos-machine/service").string
        try await steps.run(Command("install", ["--mode=755", service.string, target]))
    }

    private func takeKernel(of root: FilePath, _ recipe: ImageRecipe) async throws {
        let boot = root.appending("boot")
        let modules = root.appending("usr/lib/modules")
        let kernels = try FileTree.names(in: boot).filter { $0.hasPrefix("vmlinuz-") }
        let versions = try FileTree.names(in: modules)
        guard let kernel = kernels.first, kernels.count == 1, let version = versions.first, versions.count == 1 else {
            throw ImageBuildError(.kernelCount(kernels.count, directory: boot))
        }
        try await steps.run(
            Command("cp", [boot.appending(kernel).string, hidden.appending("vmlinuz").string])
        )
        for name in try FileTree.names(in: boot) { try FileTree.remove(boot.appending(name)) }
        let directory = modules.appending(version)
        let index = KernelModules(parsing: try FileTree.readText(directory.appending("modules.dep"), limit: 16 << 20))
        let order = try index.loadOrder(of: recipe.stage1Modules).get()
        let members = Stage1.members(
            init: try FileTree.read(recipeDirectory.appending("initramfs/init")),
            busybox: Stage1.busybox,
            modules: order.map { directory.appending($0) }
        )
        try CPIOArchive.write(members, to: hidden.appending("initrd"))
    }

    /// The bytes that a file takes up, holes not counted.
    private func allocated(_ file: FilePath) async throws -> Int64? {
        let result = try await steps.transport.check(Command("stat", ["--format=%b", file.string]))
        return Int64(result.outputText.prefix { !$0.isNewline }).map { $0 * 512 }
    }

    /// The manifest: the kernel is started by the hypervisor itself, which spares firmware and boot loader.
    var manifest: MachineManifest {
        MachineManifest(
            options.header,
            options: [
                "-kernel", "vmlinuz", "-initrd", "initrd", "-append", "console=ttyS0 quiet panic=-1",
                "-drive", "if=none,id=disk0,file=disk.img,format=raw,cache=unsafe",
                "-device", "virtio-blk-pci,drive=disk0",
                "-netdev", "tap,id=net0,ifname=?,script=no,downscript=no",
                "-device", "virtio-net-pci,netdev=net0,mac=?",
                "-device", "virtio-rng-pci",
            ]
        )
    }
}
