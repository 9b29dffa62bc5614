import BuildOSKit
import TFTPStore

/// Serves a directory for `Benchmarks/tftp`: `tftp-bench-server DIRECTORY UPLOADS`. Prints its port, and runs until it is killed.
@main struct Main {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 3 else {
            print("usage: tftp-bench-server DIRECTORY UPLOADS")
            return
        }
        let store = try TFTPStore(root: FilePath(arguments[2]))
        let server = try await store.serve(
            ArtifactServerConfiguration(
                endpoint: ServerEndpoint(host: "127.0.0.1", port: 0),
                readRoot: FilePath(arguments[1]),
                uploads: UploadRules(directory: FilePath(arguments[2]), maximumBytes: 1 << 32),
                maximumSessions: 1024,
                maximumSessionsPerClient: 1024
            )
        )
        try FileDescriptor.standardOutput.writeAll("\(server.endpoint.port)\n".utf8)
        for await _ in server.transfers {}
    }
}
