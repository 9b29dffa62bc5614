/// Makes an image from Debian packages and the installed programs (BOOT-1, BOOT-10; docs/image.md).
///
/// Everything is made in a work directory inside the output directory, which is removed at the start, at the end,
/// and when the task is cancelled; the three files appear under their names when all of them are complete, the build
/// id last, so that a host that polls it finds the files it speaks of.
public struct ImageBuilder: Sendable {
    /// What is to be made.
    public struct Options: Sendable, Hashable {
        /// Where the three files go.
        public var output: FilePath
        /// The kernel.
        public var kernel: KernelFlavour
        /// A Debian mirror in place of mmdebstrap's own choice.
        public var mirror: String?
        /// The directory with `bin`, `lib/buildos` and `share/buildos/os`.
        public var prefix: FilePath
        /// Every time in the image, in seconds since 1970 (reproducible-builds.org, SOURCE_DATE_EPOCH).
        public var epoch: Int64

        /// The first of June 2024, the date of the manual.
        public static let defaultEpoch: Int64 = 1_717_200_000

        /// Creates options.
        public init(
            output: FilePath,
            kernel: KernelFlavour,
            mirror: String? = nil,
            prefix: FilePath,
            epoch: Int64 = Self.defaultEpoch
        ) {
            self.output = output
            self.kernel = kernel
            self.mirror = mirror
            self.prefix = prefix
            self.epoch = epoch
        }
    }

    /// What happens while an image is made.
    public enum Event: Sendable, Hashable {
        /// A step begins.
        case began(String)
        /// A word of the program that does the work.
        case note(String)
        /// A step ended; bytes of what it made, where that says something.
        case finished(String, bytes: Int64?)
    }

    let steps: ImageSteps
    let options: Options

    /// The Debian release of the image: the one whose libraries the programs were built with.
    static let suite = "bookworm"

    /// Creates a builder.
    public init(transport: any Transport, options: Options, report: @escaping @Sendable (Event) -> Void) {
        steps = ImageSteps(transport: transport, report: report)
        self.options = options
    }

    /// Makes the image.
    ///
    /// - Throws: ``ImageBuildError``, ``TransportError``, ``FileError``
    @discardableResult
    public func build() async throws -> ImageIdentity {
        let recipe = try ImageRecipe(directory: recipeDirectory)
        try FileTree.makeDirectory(options.output)
        try removeWork()
        try FileTree.makeDirectory(work)
        do {
            let identity = try await build(recipe)
            try removeWork()
            return identity
        } catch {
            // The reason for the failure says more than a failure to clean up after it.
            try? removeWork()
            throw error
        }
    }

    private func build(_ recipe: ImageRecipe) async throws -> ImageIdentity {
        let made = ImageFiles(in: work)
        try await steps.step("Debian packages") {
            let command = ImageCommands.mmdebstrap(
                recipe,
                kernel: options.kernel,
                mirror: options.mirror,
                epoch: options.epoch,
                root: root
            )
            try await steps.run(command, notes: true)
            return nil
        }
        try await steps.step("programs of Build OS") {
            try await addPrograms()
            return nil
        }
        try await steps.step("set-up of the root file system") {
            try await finish()
            return nil
        }
        try await steps.step("kernel") {
            try await takeKernel(to: made.kernel)
            return try FileTree.size(of: made.kernel)
        }
        let rootImage = work.appending("rootfs.img")
        try await steps.step("root file system image") {
            try await steps.run(ImageCommands.squashfs(root, to: rootImage, epoch: options.epoch))
            return try FileTree.size(of: rootImage)
        }
        steps.report(.began("initramfs"))
        let identity = try await makeInitrd(recipe, rootImage: rootImage, made: made)
        steps.report(.finished("initramfs", bytes: try FileTree.size(of: made.initrd)))
        try FileTree.write(identity.text, to: made.buildID)
        try publish(made)
        return identity
    }

    // MARK: Steps

    private func addPrograms() async throws {
        let libraries = options.prefix.appending("lib/buildos")
        let programs = ["buildosd", "buildosctl"].map { options.prefix.appending("bin").appending($0) }
        for path in programs + [libraries] where !FileTree.exists(path) {
            throw ImageBuildError(.incompleteInstallation(path))
        }
        // Copied aside first, because their modes depend on the umask under which they were installed.
        let overlay = work.appending("overlay")
        let own = overlay.appending("usr/lib/buildos")
        try await steps.run(ImageCommands.copy(recipeDirectory.appending("overlay"), to: overlay))
        try FileTree.makeDirectory(overlay.appending("usr/bin"))
        try await steps.run(ImageCommands.copy(libraries, to: own))
        for program in programs {
            let name = program.lastComponent?.string ?? ""
            try await steps.run(ImageCommands.copy(program, to: overlay.appending("usr/bin").appending(name)))
        }
        try await steps.run(Command("chmod", ["--recursive", "u=rwX,go=rX", overlay.string]))
        try await steps.run(ImageCommands.copy(overlay, to: root))
        try FileTree.remove(overlay)
        try await steps.run(ImageCommands.strip(in: root, programs: programs.compactMap { $0.lastComponent?.string }))
    }

    private func finish() async throws {
        let script = root.appending("finish")
        try await steps.run(Command("cp", [recipeDirectory.appending("finish").string, script.string]))
        try await steps.run(ImageCommands.finish(root, epoch: options.epoch))
        try FileTree.remove(script)
    }

    private func takeKernel(to target: FilePath) async throws {
        let boot = root.appending("boot")
        let kernels = try FileTree.names(in: boot).filter { $0.hasPrefix("vmlinuz-") }
        guard let kernel = kernels.first, kernels.count == 1 else {
            throw ImageBuildError(.kernelCount(kernels.count, directory: boot))
        }
        try await steps.run(Command("cp", [boot.appending(kernel).string, target.string]))
        for name in try FileTree.names(in: boot) { try FileTree.remove(boot.appending(name)) }
    }

    private func makeInitrd(_ recipe: ImageRecipe, rootImage: FilePath, made: ImageFiles) async throws -> ImageIdentity
    {
        let modules = root.appending("usr/lib/modules")
        let versions = try FileTree.names(in: modules)
        guard let version = versions.first, versions.count == 1 else {
            throw ImageBuildError(.kernelCount(versions.count, directory: modules))
        }
        let directory = modules.appending(version)
        let index = KernelModules(parsing: try FileTree.readText(directory.appending("modules.dep"), limit: 16 << 20))
        let order = try index.loadOrder(of: recipe.stage1Modules).get()
        let members = Stage1.members(
            init: try FileTree.read(recipeDirectory.appending("initramfs/init")),
            busybox: Stage1.busybox,
            modules: order.map { directory.appending($0) }
        )

        let stage1 = work.appending("stage1.cpio")
        try CPIOArchive.write(members, to: stage1)
        let kernelDigest = try await digest(of: made.kernel)
        let identity = ImageIdentity.text(
            kernelDigest: kernelDigest,
            rootDigest: try await digest(of: rootImage),
            initramfsDigest: try await digest(of: stage1)
        )
        let buildID = try await digest(ofText: identity)
        try CPIOArchive.write(members + Stage1.payload(rootImage: rootImage, buildID: buildID), to: made.initrd)
        return ImageIdentity(
            buildID: buildID,
            kernelDigest: kernelDigest,
            initrdDigest: try await digest(of: made.initrd)
        )
    }

    /// Moves the files to their names: the build id goes first and comes back last.
    private func publish(_ made: ImageFiles) throws {
        let target = ImageFiles(in: options.output)
        try FileTree.remove(target.buildID)
        for (source, name) in [
            (made.kernel, target.kernel), (made.initrd, target.initrd), (made.buildID, target.buildID),
        ] {
            try FileTree.publish(source, as: name)
        }
    }
}
