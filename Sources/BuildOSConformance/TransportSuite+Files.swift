import BuildOSKit
import Glibc
import Synchronization

extension TransportSuite {
    /// Files that are copied.
    var fileChecks: [ConformanceCheck] {
        [
            ConformanceCheck("a file goes up and comes down as it was, with the permissions asked for") {
                try await withBothDirectories { here, there in
                    for size in [0, 1, 3_000_000] {
                        let bytes = Self.noise(size)
                        try FileTree.write(bytes, to: here.appending("source"))
                        let name = "it's a $HOME \"file\"\n* \(size)"
                        let progress = ProgressRecorder()
                        try await transport.upload(
                            here.appending("source"),
                            to: there.appending(name),
                            permissions: FilePermissions(rawValue: 0o641),
                            progress: { progress.record($0) }
                        )
                        let mode = try await transport.check(
                            Command("stat", ["-c", "%a", there.appending(name).string])
                        )
                        try require(mode.outputText == "641\n", "its permissions are \(mode.outputText)")
                        try await transport.download(
                            there.appending(name),
                            to: here.appending("copy"),
                            progress: { progress.record($0) }
                        )
                        let copy = try FileTree.read(here.appending("copy"), limit: 4 << 20)
                        try require(copy == bytes, "\(copy.count) bytes came back of \(bytes.count)")
                        let last = progress.last
                        try require(size == 0 || last == Int64(size), "progress ended at \(last) of \(size)")
                    }
                }
            },
            ConformanceCheck("a file that is downloaded may be read and run by the same as there") {
                try await withBothDirectories { here, there in
                    for mode in ["600", "755"] {
                        try await transport.check(
                            Command("sh", ["-c", "echo x >\"$1\"; chmod \"$2\" \"$1\"", "sh", "\(there)/file", mode])
                        )
                        try await transport.download(there.appending("file"), to: here.appending("copy"), progress: nil)
                        var status = stat()
                        guard stat(here.appending("copy").string, &status) == 0 else {
                            throw ConformanceFailure("the copy isn't there: \(Errno(rawValue: errno))")
                        }
                        let got = String(status.st_mode & 0o7777, radix: 8)
                        try require(got == mode, "\(mode) became \(got)")
                    }
                }
            },
            ConformanceCheck("an upload is a new file under the old name") {
                try await withBothDirectories { here, there in
                    let file = there.appending("file").string
                    try await transport.check(
                        Command("sh", ["-c", "echo old >\"$1\"; ln \"$1\" \"$1.link\"", "sh", file])
                    )
                    try FileTree.write(Array("new\n".utf8), to: here.appending("source"))
                    try await transport.upload(
                        here.appending("source"),
                        to: FilePath(file),
                        permissions: .ownerReadWrite,
                        progress: nil
                    )
                    let result = try await transport.check(Command("cat", [file, file + ".link"]))
                    try require(
                        result.outputText == "new\nold\n",
                        "whoever has the old file open reads \(result.outputText)"
                    )
                }
            },
            ConformanceCheck("a copy that fails says why, and leaves nothing") {
                try await withBothDirectories { here, there in
                    try FileTree.write([1], to: here.appending("source"))
                    try await requireFailure("uploaded into a directory that isn't there") {
                        () throws(TransportError) in
                        try await transport.upload(
                            here.appending("source"),
                            to: there.appending("no/file"),
                            permissions: .ownerReadWrite,
                            progress: nil
                        )
                    }
                    try await requireFailure("uploaded a file that isn't there") { () throws(TransportError) in
                        try await transport.upload(
                            here.appending("nothing"),
                            to: there.appending("file"),
                            permissions: .ownerReadWrite,
                            progress: nil
                        )
                    }
                    try await requireFailure("downloaded a file that isn't there") { () throws(TransportError) in
                        try await transport.download(
                            there.appending("nothing"),
                            to: here.appending("source"),
                            progress: nil
                        )
                    }
                    try await requireFailure("downloaded a directory") { () throws(TransportError) in
                        try await transport.download(there, to: here.appending("source"), progress: nil)
                    }
                    try require(try FileTree.read(here.appending("source")) == [1], "the old file is gone")
                    try require(try FileTree.names(in: here) == ["source"], "something is left here")
                    let names = try await transport.check(Command("ls", ["-A", there.string])).outputText
                    try require(names.isEmpty, "left there: \(names)")
                }
            },
        ]
    }

    private func withBothDirectories(_ body: (_ here: FilePath, _ there: FilePath) async throws -> Void) async throws {
        try await withScratchDirectory { here in
            let made = try await transport.check(Command("mktemp", ["-d"])).outputText
            let there = FilePath(String(made.dropLast()))
            do { try await body(here, there) } catch {
                try await transport.check(Command("rm", ["-r", there.string]))
                throw error
            }
            try await transport.check(Command("rm", ["-r", there.string]))
        }
    }

    private func requireFailure(
        _ otherwise: String,
        _ body: () async throws(TransportError) -> Void
    ) async throws {
        do throws(TransportError) { try await body() } catch {
            return try require(error.kind == .inputOutput && !error.detail.isEmpty, "got \(error)")
        }
        throw ConformanceFailure(otherwise)
    }
}

private final class ProgressRecorder: Sendable {
    private let state = Mutex<Int64>(0)
    var last: Int64 { state.withLock { $0 } }
    func record(_ bytes: Int64) { state.withLock { $0 = bytes } }
}
