import ArgumentParser
import BuildOSKit
import Glibc

/// `buildosctl image build`
struct ImageBuildCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "build",
        abstract: "Make kernel, initrd and build id from Debian packages and the installed programs (as root).",
        discussion: """
            Writes buildos-image, buildos-initrd and buildos-buildid. The same packages and programs make the same \
            files, bit for bit; SOURCE_DATE_EPOCH sets the time that everything in them bears.
            """
    )

    @Option(help: ArgumentHelp("Where the three files go.", valueName: "directory"))
    var output: String

    @Option(help: "cloud: for virtual machines, smaller; generic: for any machine.")
    var kernel: KernelFlavour = .generic

    @Option(
        help: ArgumentHelp("Take packages from this Debian mirror instead of the usual one.", valueName: "URL")
    )
    var mirror: String?

    @OptionGroup var modules: ModuleOptions

    func validate() throws {
        if let mirror, !["http://", "https://", "file:///"].contains(where: mirror.hasPrefix) {
            throw ValidationError(ImageBuildError(.badMirror(mirror)).description)
        }
    }

    func run() async throws {
        var options = ImageBuilder.Options(
            output: FilePath(output),
            kernel: kernel,
            mirror: mirror,
            prefix: HostProcess.prefix
        )
        if let epoch = HostProcess.environmentVariable("SOURCE_DATE_EPOCH") {
            guard let seconds = Int64(epoch), seconds >= 0 else {
                throw ValidationError("SOURCE_DATE_EPOCH is '\(epoch)': expected seconds since 1970")
            }
            options.epoch = seconds
        }
        guard geteuid() == 0 else { throw ImageBuildError(.notRoot) }
        let path = HostProcess.environmentVariable("PATH") ?? ""
        let missing = ImageTool.missing(ImageTool.forBuilding, path: path)
        guard missing.isEmpty else { throw ImageBuildError(.missingPrograms(missing)) }

        // What the programs of the build make must not depend on the operator's mask.
        umask(0o022)
        let transport = try modules.load().registry.makeTransport(to: .thisMachine)
        let progress = ImageProgress()
        let builder = ImageBuilder(transport: transport, options: options) { progress.show($0) }
        let identity: ImageIdentity
        do {
            identity = try await cancelledByInterrupt { try await builder.build() }
        } catch  where error is CancellationError || (error as? TransportError)?.kind == .cancelled {
            print("Interrupted: what was made on the way is removed, the image in \(output) is as it was.")
            throw ExitCode(130)
        }
        print("\(output): build id \(identity.buildID)")
    }
}
