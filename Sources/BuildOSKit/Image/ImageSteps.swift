import Glibc

/// The steps of making an image: programs run, told as they go, ended with the task.
struct ImageSteps: Sendable {
    let transport: any Transport
    let report: @Sendable (ImageBuilder.Event) -> Void

    /// Tells the beginning and the end of a step.
    ///
    /// - Parameter body: gives back the bytes of what it made, where that says something.
    func step(_ name: String, _ body: () async throws -> Int64?) async throws {
        try Task.checkCancellation()
        report(.began(name))
        report(.finished(name, bytes: try await body()))
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
}

extension CPIOArchive {
    /// Writes an archive to a file, which is made or replaced.
    static func write(_ members: [CPIOMember], to path: FilePath) throws(FileError) {
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
}

extension FileTree {
    /// The bytes of a file.
    static func size(of path: FilePath) throws(FileError) -> Int64 {
        var status = stat()
        guard stat(path.string, &status) == 0 else { throw FileError("measure", path, Errno(rawValue: errno)) }
        return Int64(status.st_size)
    }
}
