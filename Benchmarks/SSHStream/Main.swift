import BuildOSKit
import SSHRemote

/// Sends its standard input to a command on a host, as `ssh host command` does: what Benchmarks/ssh measures.
@main enum SSHStream {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 6, let port = Int(arguments[2]) else {
            print("usage: ssh-bench-stream HOST PORT KEY KNOWN_HOSTS COMMAND [ARGUMENT...]")
            return
        }
        let host = RemoteHost(
            name: arguments[1],
            port: port,
            identityFiles: [FilePath(arguments[3])],
            configurationFile: "/dev/null",
            knownHostsFiles: [FilePath(arguments[4])]
        )
        let transport = SSHRemote(to: host)
        let result = try await transport.run(
            Command(arguments[5], Array(arguments[6...])),
            input: .descriptor(.standardInput),
            output: .descriptor(.standardOutput),
            error: .inherited,
            timeLimit: nil
        )
        await transport.close()
        if !result.status.isSuccess { throw TransportError(.failed(result.status), subject: arguments[5]) }
    }
}
