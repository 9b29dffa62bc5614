import BuildOSKit
import TestSupport

/// Revisions 1.0, 1.1, … of a machine on a desk, and what a reader sees of them on a host.
struct UploadImages: Sendable {
    /// Runs a shell script where a machine is, as root, and gives what it wrote.
    typealias Reader = @Sendable (String) async throws -> String

    let desk: FilePath
    let transport: any Transport

    func path(_ number: Int) -> FilePath { desk.appending("net-1.\(number)") }

    /// Makes a number of revisions; two megabytes of each are its own.
    func make(_ count: Int) async throws {
        let work = desk.appending("work")
        func run(_ arguments: [String]) async throws {
            try await transport.check(Command(arguments[0], Array(arguments.dropFirst())))
        }
        try await run(["btrfs", "subvolume", "create", work.string])
        let manifest = MachineManifest(MachineHeader(id: "net-1", name: "net", summary: "a machine"))
        try FileTree.write(try ManifestSerializer.serialize([manifest.manifest]), to: work.appending("manifest"))
        let disk = work.appending("disk.img")
        try await run(["dd", "if=/dev/urandom", "of=\(disk)", "bs=1M", "count=8", "status=none"])
        for number in 0..<count {
            try await run([
                "dd", "if=/dev/urandom", "of=\(disk)", "bs=1M", "count=2", "seek=\(number)", "conv=notrunc",
                "status=none",
            ])
            try FileTree.write("revision 1.\(number)\n", to: work.appending("note"))
            try await run(["btrfs", "subvolume", "snapshot", "-r", work.string, path(number).string])
        }
    }

    /// What a reader is to see when a revision is in effect.
    func view(_ number: Int) async throws -> String {
        let script = "echo net-1.\(number) ro=true; cd \(path(number)) && \(Self.digests)"
        return try await transport.check(Command("sh", ["-c", script])).outputText.trimmingSuffix(while: \.isNewline)
    }

    /// What a reader sees in a volume: where the link leads, whether that can be written to, and the digests of all that is
    /// there; nothing if there is no link.
    func view(inVolume volume: FilePath, by reader: Reader) async throws -> String {
        try await reader(
            """
            cd \(volume)/net 2>/dev/null && test -L net-1 || exit 0
            image=$(readlink net-1)
            echo $image $(btrfs property get $image ro)
            cd $image && \(Self.digests)
            """
        )
    }

    private static let digests = "find . -type f | LC_ALL=C sort | xargs sha256sum"

    /// The names of all that uploads made, hidden places included.
    func leftovers(inVolume volume: FilePath, by reader: Reader) async throws -> [String] {
        try await reader(
            """
            cd \(volume)/net
            ls -1A
            ls -1A .received | sed s,^,.received/,
            ls -1A ../.uploads | sed s,^,.uploads/,
            """
        ).split(separator: "\n").map(String.init).sorted()
    }

    /// What ``leftovers(inVolume:by:)`` has to find when revisions up to one are there, and nothing of no use.
    func expectedNames(through number: Int) -> [String] {
        let images = (0...number).map { "net-1.\($0)" }
        return
            (["net-1", ".received", ".uploads/net.journal", ".uploads/net.lock"] + images
            + images.flatMap { [".received/\($0)", ".received/\($0).whole"] }).sorted()
    }
}
