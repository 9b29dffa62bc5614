import BuildOSKit

/// Runs a closure with a btrfs file system that lies in a file and is mounted as long. Needs root and btrfs-progs.
///
/// - Parameters:
///   - mebibytes: its size; btrfs wants 109 at least (mkfs.btrfs(8)).
///   - parent: where the file and the mount point are made, in a directory that is then removed.
///   - transport: runs `mkfs.btrfs` and `mount` on this machine.
/// - Throws: ``BuildOSKit/TransportError``, ``BuildOSKit/FileError``, and what the closure throws.
public func withScratchBtrfs<Result>(
    mebibytes: Int64 = 512,
    in parent: FilePath,
    by transport: any Transport,
    isolation: isolated (any Actor)? = #isolation,
    _ body: (FilePath) async throws -> Result
) async throws -> Result {
    try await withScratchDirectory(in: parent) { directory in
        let (image, mountPoint) = (directory.appending("image"), directory.appending("volume"))
        try FileTree.makeDirectory(mountPoint)
        let file = try FileDescriptor.open(
            image,
            .writeOnly,
            options: [.create, .exclusiveCreate, .closeOnExec],
            permissions: [.ownerReadWrite]
        )
        try file.closeAfter { try file.resize(to: mebibytes << 20) }
        try await transport.check(administrative("mkfs.btrfs", ["--quiet", image.string]))
        try await transport.check(administrative("mount", ["-o", "loop", image.string, mountPoint.string]))
        let outcome: Swift.Result<Result, any Error>
        do { outcome = .success(try await body(mountPoint)) } catch { outcome = .failure(error) }
        // In a task of its own: a cancelled one runs no commands, and would leave it mounted.
        _ = try await Task {
            // A check that was left running may have a file open; its volume goes when that is closed.
            try await transport.check(administrative("umount", ["--lazy", mountPoint.string]))
        }.value
        return try outcome.get()
    }
}

/// A command of root's, for whom Debian's `su` leaves the directories of such programs out of `PATH`.
private func administrative(_ program: String, _ arguments: [String]) -> Command {
    let path = HostProcess.environmentVariable("PATH").map { "\($0):" } ?? ""
    return Command(program, arguments, environment: ["PATH": "\(path)/usr/sbin:/usr/bin:/sbin:/bin"])
}
