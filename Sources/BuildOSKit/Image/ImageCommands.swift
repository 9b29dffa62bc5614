/// The commands that make an image, as values.
enum ImageCommands {
    /// The root file system from packages (mmdebstrap(1)). The directory it makes is the caller's to remove.
    static func mmdebstrap(
        _ recipe: ImageRecipe,
        kernel: KernelFlavour,
        mirror: String?,
        epoch: Int64,
        root: FilePath
    ) -> Command {
        var arguments = [
            "--mode=root", "--variant=essential", "--format=directory",
            // Without the merge at the start, a package that converts the tree would bring perl along.
            "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
            "--aptopt=Apt::Install-Recommends \"false\"",
        ]
        arguments += recipe.filters.map { "--dpkgopt=\($0.option)" }
        arguments.append("--include=\((recipe.packages + [kernel.package]).joined(separator: ","))")
        arguments += [ImageBuilder.suite, root.string]
        if let mirror { arguments.append(mirror) }
        return Command("mmdebstrap", arguments, environment: environment(epoch))
    }

    /// Copies a file or a tree under a new name or into one that is there: modes and links as they are, owner root.
    static func copy(_ source: FilePath, to target: FilePath) -> Command {
        Command(
            "cp",
            ["--recursive", "--no-dereference", "--preserve=mode,links", "--no-target-directory"]
                + [source.string, target.string]
        )
    }

    /// Takes the symbols of the programs away that only a debugger needs; what modules bind to stays.
    static func strip(in root: FilePath, programs: [String]) -> Command {
        let programs = programs.map { root.appending("usr/bin").appending($0).string }
        let libraries = root.appending("usr/lib/buildos")
        return Command(
            "find",
            programs + [
                libraries.string, "-type", "f", "(", "-path", "*/bin/*", "-o", "-name", "*.so", ")",
                "-exec", "strip", "--strip-unneeded", "{}", "+",
            ]
        )
    }

    /// The last touches, made inside the new root file system by the recipe's own script.
    static func finish(_ root: FilePath, epoch: Int64) -> Command {
        Command("chroot", [root.string, "/finish"], environment: environment(epoch))
    }

    /// The root file system as one compressed file, the same bytes for the same tree.
    static func squashfs(_ root: FilePath, to image: FilePath, epoch: Int64) -> Command {
        Command(
            "mksquashfs",
            [
                root.string, image.string, "-noappend", "-no-progress", "-quiet", "-no-xattrs", "-no-exports",
                "-comp", "zstd", "-Xcompression-level", "6", "-b", "128K",
                "-mkfs-time", String(epoch), "-all-time", String(epoch),
            ],
            environment: ["SOURCE_DATE_EPOCH": nil]
        )
    }

    /// Programs in the new root must not see this machine's locale or configuration of apt and debconf.
    private static func environment(_ epoch: Int64) -> [String: String?] {
        [
            "SOURCE_DATE_EPOCH": String(epoch), "LC_ALL": "C.UTF-8", "LANG": nil, "LANGUAGE": nil, "TZ": "UTC",
            "DEBIAN_FRONTEND": "noninteractive", "DEBCONF_NONINTERACTIVE_SEEN": "true",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ]
    }
}
