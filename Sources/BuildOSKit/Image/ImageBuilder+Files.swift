import Glibc

extension ImageBuilder {
    var work: FilePath { options.output.appending(".image-work") }
    var root: FilePath { work.appending("root") }
    var recipeDirectory: FilePath { options.prefix.appending("share/buildos/os") }

    /// Removes what this build, or one that was killed, made on the way.
    func removeWork() throws(FileError) {
        try LeftoverMounts.release(below: work)
        try FileTree.remove(work)
    }

    /// Runs a program; its words are told, and kept for the error if it fails.
    func run(_ command: Command, notes: Bool = false) async throws {
        guard notes else {
            try await transport.check(command)
            return
        }
        let last = LastLines(count: 12)
        let result = try await transport.run(
            command,
            input: .none,
            output: .discarded,
            error: .lines { line in
                last.append(line)
                if line.hasPrefix("I: ") { report(.note(String(line.dropFirst(3)))) }
            },
            timeLimit: nil
        )
        guard result.status.isSuccess else {
            throw TransportError(.failed(result.status), command: command, detail: last.text)
        }
    }

    /// The SHA-256 of a file, in hexadecimal.
    func digest(of file: FilePath) async throws -> String {
        let result = try await transport.check(Command("sha256sum", ["--binary", file.string]))
        return try digest(from: result, of: file)
    }

    /// The SHA-256 of a text in UTF-8, in hexadecimal.
    func digest(ofText text: String) async throws -> String {
        let result = try await transport.check(Command("sha256sum", ["--binary"]), input: .bytes(Array(text.utf8)))
        return try digest(from: result, of: "-")
    }

    private func digest(from result: CommandResult, of file: FilePath) throws(ImageBuildError) -> String {
        guard let digest = Digest(.sha256, hexadecimal: result.outputText.prefix { $0 != " " }) else {
            throw ImageBuildError(.unreadableDigest(file, output: result.outputText))
        }
        return digest.hexadecimal
    }

    func write(_ members: [CPIOMember], to path: FilePath) throws(FileError) {
        let file: FileDescriptor
        do {
            file = try FileDescriptor.open(
                path,
                .writeOnly,
                options: [.create, .truncate, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead, .otherRead]
            )
        } catch { throw FileError("write", path, error as? Errno ?? .ioError) }
        defer { try? file.close() }
        try CPIOArchive.write(members, to: file, at: path)
    }

    func size(of path: FilePath) throws(FileError) -> Int64 {
        var status = stat()
        guard stat(path.string, &status) == 0 else { throw FileError("measure", path, Errno(rawValue: errno)) }
        return Int64(status.st_size)
    }
}

extension FileTree {
    /// Gives a complete file its name, durably: mode 0644, fsync, rename.
    static func publish(_ source: FilePath, as target: FilePath) throws(FileError) {
        let file = open(source.string, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw FileError("open", source, Errno(rawValue: errno)) }
        defer { close(file) }
        guard fchmod(file, 0o644) == 0, fsync(file) == 0, rename(source.string, target.string) == 0 else {
            throw FileError("publish", target, Errno(rawValue: errno))
        }
        synchronize(target.removingLastComponent())
    }
}
