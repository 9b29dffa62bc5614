import BuildOSKit

/// A file system of its own in a file, mounted as long as a closure runs. Needs root.
///
/// - Parameters:
///   - transport: runs mkfs and mount.
///   - kind: what `mkfs` makes: `btrfs`, `ext4`; or `tmpfs`, which needs no file.
///   - mebibytes: its size.
public func withVolume<Result>(
    _ kind: String,
    mebibytes: Int,
    by transport: any Transport,
    isolation: isolated (any Actor)? = #isolation,
    _ body: (FilePath) async throws -> Result
) async throws -> Result {
    try await withTemporaryDirectory { directory in
        let mountPoint = directory.appending("mounted")
        try FileTree.makeDirectory(mountPoint)
        if kind == "tmpfs" {
            try await transport.check(
                Command("mount", ["-t", "tmpfs", "-o", "size=\(mebibytes)m", "tmpfs", mountPoint.string])
            )
        } else {
            let image = directory.appending("image")
            try await transport.check(Command("truncate", ["--size", "\(mebibytes)M", image.string]))
            try await transport.check(Command("mkfs.\(kind)", ["-q", image.string]))
            try await transport.check(Command("mount", ["-o", "loop", image.string, mountPoint.string]))
        }
        let result: Swift.Result<Result, any Error>
        do { result = .success(try await body(mountPoint)) } catch { result = .failure(error) }
        try await transport.check(Command("umount", [mountPoint.string]))
        return try result.get()
    }
}
