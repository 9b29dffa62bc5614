import BuildOSKit
import TestSupport

extension Lab {
    /// Puts the C package `hello` on the web server, as the only one there is.
    ///
    /// - Parameters:
    ///   - check: the commands of its `make check`.
    ///   - clockAhead: by how much the clock of who packed it is ahead of this machine's.
    func publishPackage(check: String, clockAhead: Duration = .zero) async throws {
        let source = directory.appending("package/hello-1.0")
        try FileTree.makeDirectory(source)
        try FileTree.write(
            "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n",
            to: source.appending("hello.c")
        )
        try FileTree.write(
            "hello: hello.c\n\t$(CC) -Wall -o hello hello.c\ncheck: hello\n\t\(check)\n"
                + "install: hello\n\tinstall -D hello $(DESTDIR)/usr/bin/hello\n",
            to: source.appending("Makefile")
        )
        try await transport.check(
            Command(
                "tar",
                [
                    "-C", directory.appending("package").string,
                    "--mtime=+\(clockAhead.components.seconds) seconds", "-czf",
                    web.appending("hello-1.0.tar.gz").string, "hello-1.0",
                ]
            )
        )
    }

    /// Makes a Debian machine, `buildosctl machine create`.
    func makeMachine(at path: FilePath, _ options: [String] = ["--summary", "Debian 12"]) async throws {
        let log = logs.appending("machine-create.log")
        let result = try await transport.run(
            Command(
                StagedTree.program("buildosctl").string,
                ["machine", "create"] + options + [path.string]
            ),
            input: .none,
            output: .appended(to: log),
            error: .appended(to: log),
            timeLimit: .seconds(600)
        )
        guard result.status.isSuccess else { throw LabError("machine create: \(result.status): see \(log)") }
    }
}
