/// The initramfs: what is in it, as a value (docs/image.md, "Stage 1").
public enum Stage1 {
    /// The statically linked program that stage 1 is made of.
    static let busybox: FilePath = "/bin/busybox"

    /// Everything but what depends on the build: the script, the programs, the kernel modules, the mount points.
    static func members(init script: [UInt8], busybox: FilePath, modules: [FilePath]) -> [CPIOMember] {
        let directories = ["bin", "changes", "dev", "lower", "modules", "proc", "run", "sys", "sysroot"]
        let names = modules.map { $0.lastComponent?.string ?? "" }
        return directories.map { CPIOMember($0, permissions: 0o755, .directory) }
            + [
                // The kernel opens it for process 1 before that could make it.
                CPIOMember("dev/console", permissions: 0o600, .characterDevice(major: 5, minor: 1)),
                CPIOMember("bin/busybox", permissions: 0o755, .fileAt(busybox)),
                CPIOMember("init", permissions: 0o755, .file(script)),
                CPIOMember(
                    "modules/order",
                    permissions: 0o644,
                    .file(Array((names.joined(separator: "\n") + "\n").utf8))
                ),
            ]
            + zip(modules, names).map { CPIOMember("modules/\($1)", permissions: 0o644, .fileAt($0)) }
    }

    /// The root file system image and the build id, which come after the rest.
    static func payload(rootImage: FilePath, buildID: String) -> [CPIOMember] {
        [
            CPIOMember("buildid", permissions: 0o644, .file(Array("\(buildID)\n".utf8))),
            CPIOMember("rootfs.img", permissions: 0o644, .fileAt(rootImage)),
        ]
    }
}
