import BuildOSKit
import Glibc
import Synchronization

/// A real sshd on a port of 127.0.0.1, with host and client keys of its own; one logs in as whoever runs the tests.
public struct SSHServer: Sendable {
    /// Holds keys, `known_hosts` and `sshd_config`.
    public let directory: FilePath
    public let port: Int
    /// The listening process; those that serve connections are its children.
    public let process: Int32

    /// The private key that may log in.
    public var clientKey: FilePath { directory.appending("client") }
    /// The server's private key; the public one is beside it, with `.pub`.
    public var hostKey: FilePath { directory.appending("host") }
    public var knownHosts: FilePath { directory.appending("known_hosts") }

    /// How to log in to it: nothing of the machine's own configuration has a part in it.
    public var host: RemoteHost {
        RemoteHost(
            name: "127.0.0.1",
            port: port,
            identityFiles: [clientKey],
            configurationFile: directory.appending("ssh_config"),
            knownHostsFiles: [knownHosts]
        )
    }

    /// Kills the processes that serve connections, as when the machine loses its power: nobody says good-bye.
    public func killConnections() {
        for process in Self.descendants(of: process) { kill(process, SIGKILL) }
    }

    private static func descendants(of ancestor: Int32) -> [Int32] {
        var parents: [Int32: Int32] = [:]
        for name in (try? FileTree.names(in: "/proc")) ?? [] {
            guard let process = Int32(name), let text = try? FileTree.readText(FilePath("/proc/\(name)/stat")),
                let fields = text.split(separator: ")").last?.split(separator: " "), fields.count > 1
            else { continue }
            parents[process] = Int32(fields[1])
        }
        var found: [Int32] = []
        var next = [ancestor]
        while let parent = next.popLast() {
            let children = parents.filter { $0.value == parent }.map(\.key)
            found += children
            next += children
        }
        return found
    }
}

/// A server that runs as long as a closure does. Needs openssh-server and root.
///
/// - Parameters:
///   - transport: runs ssh-keygen and sshd, on this machine.
///   - configuration: lines of sshd_config(5) that go before the usual ones.
public func withSSHServer<Result>(
    by transport: any Transport,
    configuration: [String] = [],
    isolation: isolated (any Actor)? = #isolation,
    _ body: (SSHServer) async throws -> Result
) async throws -> Result {
    try await withTemporaryDirectory { directory in
        for name in ["host", "client"] {
            let file = directory.appending(name).string
            try await transport.check(
                Command("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", file])
            )
        }
        let clientKey = try FileTree.read(directory.appending("client.pub"))
        try FileTree.write(clientKey, to: directory.appending("authorized_keys"))
        try FileTree.write([], to: directory.appending("ssh_config"))
        // sshd wants this one to be there (sshd(8), "FILES").
        try FileTree.makeDirectory("/run/sshd")
        var attempt = 0
        while true {
            attempt += 1
            let port = try freePort()
            let hostKey = try FileTree.readText(directory.appending("host.pub"))
            try FileTree.write(Array("[127.0.0.1]:\(port) \(hostKey)".utf8), to: directory.appending("known_hosts"))
            let text = (configuration + sshdConfiguration(directory, port)).joined(separator: "\n") + "\n"
            let file = directory.appending("sshd_config")
            try FileTree.write(Array(text.utf8), to: file)
            let listener = Listener()
            let task = Task {
                try await transport.run(
                    Command("/usr/sbin/sshd", ["-D", "-e", "-f", file.string]),
                    input: .none,
                    output: .discarded,
                    error: .lines { listener.take($0) },
                    timeLimit: nil
                )
            }
            let watch = Task {
                _ = await task.result
                listener.ended()
            }
            if await listener.isListening() {
                try await DedicatedThread.run(name: "ssh-greeting") { try readGreeting(port) }
                let process = try pidFile(directory)
                let server = SSHServer(directory: directory, port: port, process: process)
                let result: Swift.Result<Result, any Error>
                do { result = .success(try await body(server)) } catch { result = .failure(error) }
                server.killConnections()
                task.cancel()
                await watch.value
                return try result.get()
            }
            // Somebody else took the port in between.
            guard attempt < 5 else { throw SSHServerError(log: listener.log) }
        }
    }
}

/// sshd did not start.
public struct SSHServerError: Error, CustomStringConvertible {
    let log: [String]
    public var description: String { "sshd did not start: \(log.joined(separator: "; "))" }
}

private func sshdConfiguration(_ directory: FilePath, _ port: Int) -> [String] {
    [
        "Port \(port)",
        "ListenAddress 127.0.0.1",
        "HostKey \(directory)/host",
        "PidFile \(directory)/pid",
        "AuthorizedKeysFile \(directory)/authorized_keys",
        "StrictModes no",
        "UsePAM no",
        "PermitRootLogin yes",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "MaxStartups 100",
        "PerSourceMaxStartups none",
        "LogLevel VERBOSE",
    ]
}

private func pidFile(_ directory: FilePath) throws -> Int32 {
    let text = try FileTree.readText(directory.appending("pid"))
    guard let process = Int32(text.prefix { !$0.isWhitespace }) else {
        throw SSHServerError(log: ["pid file: \(text)"])
    }
    return process
}

/// A port that nobody listens on now.
private func freePort() throws -> Int {
    try withSocket(port: 0) { socket, address, size in
        var size = size
        guard bind(socket, address, size) == 0, getsockname(socket, address, &size) == 0 else {
            throw Errno(rawValue: errno)
        }
        return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
            Int(UInt16(bigEndian: $0.pointee.sin_port))
        }
    }
}

/// Waits until the server speaks: only then has it written its pid file.
private func readGreeting(_ port: Int) throws {
    try withSocket(port: port) { socket, address, size in
        var byte: UInt8 = 0
        guard connect(socket, address, size) == 0, read(socket, &byte, 1) == 1 else { throw Errno(rawValue: errno) }
    }
}

private func withSocket<Result>(
    port: Int,
    _ body: (Int32, UnsafeMutablePointer<sockaddr>, socklen_t) throws -> Result
) throws -> Result {
    let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    defer { close(socket) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return try withUnsafeMutablePointer(to: &address) { address in
        try address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
            try body(socket, address, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
}

/// Reads sshd's log for whether it listens.
private final class Listener: Sendable {
    private struct State {
        var lines: [String] = []
        var isListening: Bool?
        var waiter: CheckedContinuation<Bool, Never>?
    }
    private let state = Mutex(State())

    var log: [String] { state.withLock { $0.lines } }

    func take(_ line: String) {
        state.withLock { state in
            if state.lines.count < 1000 { state.lines.append(line) }
        }
        if line.hasPrefix("Server listening on") { decide(true) }
    }

    func ended() { decide(false) }

    private func decide(_ isListening: Bool) {
        let waiter: CheckedContinuation<Bool, Never>? = state.withLock { state in
            if state.isListening == nil { state.isListening = isListening }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: isListening)
    }

    func isListening() async -> Bool {
        await withCheckedContinuation { continuation in
            let known: Bool? = state.withLock { state in
                if state.isListening == nil { state.waiter = continuation }
                return state.isListening
            }
            if let known { continuation.resume(returning: known) }
        }
    }
}
