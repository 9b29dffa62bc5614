/// Why an image could not be built.
public struct ImageBuildError: DiagnosableError, Hashable {
    /// What went wrong.
    public enum Problem: Sendable, Hashable {
        case notRoot
        /// Programs that this machine lacks, each with its Debian package.
        case missingPrograms([ImageTool])
        /// Files of the installation that are not there.
        case incompleteInstallation(FilePath)
        case badRecipe(file: String, entry: String, expected: String)
        case kernelCount(Int, directory: FilePath)
        case badMirror(String)
        case unreadableDigest(FilePath, output: String)
    }

    /// What went wrong.
    public let problem: Problem

    /// Creates an error.
    public init(_ problem: Problem) { self.problem = problem }

    public var subject: String {
        switch problem {
        case .notRoot: "image build"
        case .missingPrograms(let tools): "programs \(tools.map(\.program).joined(separator: ", "))"
        case .incompleteInstallation(let path): path.string
        case .badRecipe(let file, let entry, _): "'\(entry)' in share/buildos/os/\(file)"
        case .kernelCount(_, let directory): directory.string
        case .badMirror(let mirror): "--mirror '\(mirror)'"
        case .unreadableDigest(let path, _): path.string
        }
    }

    public var cause: String {
        switch problem {
        case .notRoot: "it makes a root file system with owners and devices, which needs root"
        case .missingPrograms: "not installed"
        case .incompleteInstallation: "not there, and the image needs it"
        case .badRecipe(_, _, let expected): "expected \(expected)"
        case .kernelCount(let count, _): "\(count) kernels where one was expected"
        case .badMirror: "expected an http, https or file URL"
        case .unreadableDigest(_, let output): "sha256sum printed '\(output)'"
        }
    }

    public var remedy: String? {
        switch problem {
        case .notRoot: "run it as root"
        case .missingPrograms(let tools):
            "apt-get install \(Set(tools.map(\.package)).sorted().joined(separator: " "))"
        case .incompleteInstallation: "run 'make', or 'make install' again"
        default: nil
        }
    }
}

/// A program that making or booting an image runs, and the Debian package that has it.
public struct ImageTool: Sendable, Hashable {
    /// The program's name, or its path where that must be exact.
    public let program: String
    /// The Debian package.
    public let package: String

    /// Creates a tool.
    public init(_ program: String, package: String) {
        self.program = program
        self.package = package
    }

    /// What ``ImageBuilder`` runs.
    public static let forBuilding = [
        ImageTool("mmdebstrap", package: "mmdebstrap"),
        ImageTool("mksquashfs", package: "squashfs-tools"),
        ImageTool("/bin/busybox", package: "busybox-static"),
        ImageTool("strip", package: "binutils"),
        ImageTool("chroot", package: "coreutils"),
        ImageTool("sha256sum", package: "coreutils"),
    ]

    /// What ``MachineImageBuilder`` runs.
    public static let forMachines = [
        ImageTool("mmdebstrap", package: "mmdebstrap"),
        ImageTool("mkfs.ext4", package: "e2fsprogs"),
        ImageTool("/bin/busybox", package: "busybox-static"),
        ImageTool("chroot", package: "coreutils"),
    ]

    /// What ``ImageBooter`` runs and reads.
    ///
    /// - Parameters:
    ///   - overNetwork: ``ImageBooter/Options/overNetwork``
    ///   - scratchDisks: ``ImageBooter/Options/scratchDisks``
    public static func forBooting(overNetwork: Bool, scratchDisks: Bool) -> [ImageTool] {
        var tools = [ImageTool("qemu-system-x86_64", package: "qemu-system-x86")]
        if overNetwork {
            tools += zip(PXEConfiguration.programs, ["pxelinux", "syslinux-common"])
                .map { ImageTool($0.string, package: $1) }
            tools.append(ImageTool("/usr/lib/ipxe/qemu/efi-virtio.rom", package: "ipxe-qemu"))
        }
        if scratchDisks {
            tools += [
                ImageTool("mkfs.ext4", package: "e2fsprogs"), ImageTool("mkfs.btrfs", package: "btrfs-progs"),
            ]
        }
        return tools
    }

    /// This process's `PATH`, and the directories of root's programs, which an ordinary user's doesn't have.
    public static var searchPath: String { (HostProcess.environmentVariable("PATH") ?? "") + ":/usr/sbin:/sbin" }

    /// The tools that are not on this machine, given its `PATH`.
    public static func missing(_ tools: [ImageTool], path: String) -> [ImageTool] {
        let directories = path.split(separator: ":").map(String.init)
        return tools.filter { tool in
            tool.program.contains("/")
                ? !FileTree.exists(FilePath(tool.program))
                : !directories.contains { FileTree.exists(FilePath($0).appending(tool.program)) }
        }
    }
}
