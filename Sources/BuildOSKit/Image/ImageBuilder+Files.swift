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

    /// The SHA-256 of a file, in hexadecimal.
    func digest(of file: FilePath) async throws -> String {
        let result = try await steps.transport.check(Command("sha256sum", ["--binary", file.string]))
        return try digest(from: result, of: file)
    }

    /// The SHA-256 of a text in UTF-8, in hexadecimal.
    func digest(ofText text: String) async throws -> String {
        let result = try await steps.transport.check(
            Command("sha256sum", ["--binary"]),
            input: .bytes(Array(text.utf8))
        )
        return try digest(from: result, of: "-")
    }

    private func digest(from result: CommandResult, of file: FilePath) throws(ImageBuildError) -> String {
        guard let digest = Digest(.sha256, hexadecimal: result.outputText.prefix { $0 != " " }) else {
            throw ImageBuildError(.unreadableDigest(file, output: result.outputText))
        }
        return digest.hexadecimal
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
