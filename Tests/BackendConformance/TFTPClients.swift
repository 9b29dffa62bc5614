import BuildOSKit
import Glibc
import LocalTransport
import TFTPStore
import TestSupport
import Testing

/// The clients that Debian has, against the server (TOOL-8, BOT-3).
@Suite("TFTPStore, real clients") struct TFTPClients {
    /// A client program.
    enum Client: String, CaseIterable, CustomTestStringConvertible, Sendable {
        case hpa = "tftp-hpa"
        case atftp
        case atftpWindowed = "atftp, windowsize 16"
        case curl
        case curlLarge = "curl, blksize 8192"
        case busybox
        case busyboxPlain = "busybox, no options"

        var testDescription: String { rawValue }

        func get(_ remote: String, _ local: FilePath, _ port: UInt16) -> Command {
            switch self {
            case .hpa: Self.hpa(port, ["get", remote, local.string])
            case .atftp: Self.atftp(port, [], ["--get", "-r", remote, "-l", local.string])
            case .atftpWindowed: Self.atftp(port, Self.windowed, ["--get", "-r", remote, "-l", local.string])
            case .curl: Self.curl([], ["-o", local.string], remote, port)
            case .curlLarge: Self.curl(["--tftp-blksize", "8192"], ["-o", local.string], remote, port)
            case .busybox: Self.busybox(["-b", "1428"], ["-g", "-r", remote, "-l", local.string], port)
            case .busyboxPlain: Self.busybox([], ["-g", "-r", remote, "-l", local.string], port)
            }
        }

        func put(_ local: FilePath, _ remote: String, _ port: UInt16) -> Command {
            switch self {
            case .hpa: Self.hpa(port, ["put", local.string, remote])
            case .atftp: Self.atftp(port, [], ["--put", "-r", remote, "-l", local.string])
            case .atftpWindowed: Self.atftp(port, Self.windowed, ["--put", "-r", remote, "-l", local.string])
            case .curl: Self.curl([], ["-T", local.string], remote, port)
            case .curlLarge: Self.curl(["--tftp-blksize", "8192"], ["-T", local.string], remote, port)
            case .busybox: Self.busybox(["-b", "1428"], ["-p", "-r", remote, "-l", local.string], port)
            case .busyboxPlain: Self.busybox([], ["-p", "-r", remote, "-l", local.string], port)
            }
        }

        private static let windowed = ["--option", "blksize 1428", "--option", "windowsize 16"]

        private static func hpa(_ port: UInt16, _ words: [String]) -> Command {
            Command("tftp", ["-m", "binary", "127.0.0.1", "\(port)", "-c"] + words)
        }
        private static func atftp(_ port: UInt16, _ options: [String], _ words: [String]) -> Command {
            Command("atftp", options + words + ["127.0.0.1", "\(port)"])
        }
        private static func curl(
            _ options: [String],
            _ file: [String],
            _ remote: String,
            _ port: UInt16
        ) -> Command {
            Command("curl", ["-sS", "-m", "120"] + options + file + ["tftp://127.0.0.1:\(port)/\(remote)"])
        }
        private static func busybox(_ options: [String], _ words: [String], _ port: UInt16) -> Command {
            Command("busybox", ["tftp"] + options + words + ["127.0.0.1", "\(port)"])
        }
    }

    private static let content = (0..<300_001).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 9) }

    private func hasClients() async -> Bool {
        for program in ["tftp", "atftp", "curl", "busybox"] {
            let found = try? await LocalTransport().check(Command("sh", ["-c", "command -v \"$0\"", program]))
            guard Requirements.isMet(found != nil, "\(program) is not installed") else { return false }
        }
        return true
    }

    private func withServer(
        at address: String = "127.0.0.1",
        _ body: (_ server: any ArtifactServer, _ directory: FilePath, _ uploads: FilePath) async throws -> Void
    ) async throws {
        try await withTemporaryDirectory { directory in
            let (root, uploads) = (directory.appending("served"), directory.appending("uploads"))
            for directory in [root, uploads] { try FileTree.makeDirectory(directory) }
            try FileTree.write(Self.content, to: root.appending("file"))
            try FileTree.write(Self.content, to: directory.appending("local"))
            let store = try TFTPStore(root: directory.appending("store"))
            let server = try await store.serve(
                ArtifactServerConfiguration(
                    endpoint: ServerEndpoint(host: address, port: 0),
                    readRoot: root,
                    uploads: UploadRules(directory: uploads, maximumBytes: 1 << 20),
                    retransmissionTimeout: .milliseconds(300),
                    maximumRetransmissions: 50
                )
            )
            let result: Result<Void, any Error>
            do { result = .success(try await body(server, directory, uploads)) } catch { result = .failure(error) }
            await server.stop()
            try result.get()
        }
    }

    private func check(_ command: Command) async throws {
        _ = try await LocalTransport().check(command, timeLimit: .seconds(240))
    }

    @Test("TOOL-8, BOT-3: gets and puts", arguments: Client.allCases) func plain(client: Client) async throws {
        guard await hasClients() else { return }
        try await withServer { server, directory, uploads in
            let (got, port) = (directory.appending("got"), UInt16(server.endpoint.port))
            try await check(client.get("file", got, port))
            #expect(try FileTree.read(got) == Self.content)
            try await check(client.put(directory.appending("local"), "result", port))
            #expect(try FileTree.read(uploads.appending("result")) == Self.content)
        }
    }

    /// Nothing is lost here, as most of these wait for five seconds before they repeat themselves; ``TFTPLossyLinks`` has that.
    @Test("gets and puts over a link that repeats packets", arguments: Client.allCases)
    func repeating(client: Client) async throws {
        guard await hasClients() else { return }
        try await withServer { server, directory, uploads in
            let relay = try UDPRelay(
                to: UInt16(server.endpoint.port),
                UDPRelay.lossy(seed: 7, loss: 0, repetition: 0.1, reordering: 0)
            )
            let got = directory.appending("got")
            try await check(client.get("file", got, relay.port))
            #expect(try FileTree.read(got) == Self.content)
            // curl 7.88 ends an upload with "getpeername() failed" when the first answer comes twice.
            guard client != .curl, client != .curlLarge else { return }
            try await check(client.put(directory.appending("local"), "result", relay.port))
            #expect(try FileTree.read(uploads.appending("result")) == Self.content)
        }
    }

    @Test(
        "IPv4 and IPv6, an address or all that this machine has",
        arguments: [("0.0.0.0", "127.0.0.9"), ("::1", "[::1]"), ("::", "[::1]"), ("::", "127.0.0.9")]
    ) func addresses(listening: String, asked: String) async throws {
        guard await hasClients() else { return }
        try await withServer(at: listening) { server, directory, uploads in
            let got = directory.appending("got")
            let url = "tftp://\(asked):\(server.endpoint.port)"
            try await check(Command("curl", ["-sS", "-m", "60", "-o", got.string, "\(url)/file"]))
            #expect(try FileTree.read(got) == Self.content)
            let local = directory.appending("local").string
            try await check(Command("curl", ["-sS", "-m", "60", "-T", local, "\(url)/result"]))
            #expect(try FileTree.read(uploads.appending("result")) == Self.content)
        }
    }

    @Test("tftp-hpa in netascii, its default, gets and puts a text unchanged") func netascii() async throws {
        guard await hasClients() else { return }
        try await withServer { server, directory, uploads in
            let text = String(repeating: "line\nand \r another\r\n\n", count: 200)
            try FileTree.write(text, to: directory.appending("served/text"))
            let (got, port) = (directory.appending("got"), "\(server.endpoint.port)")
            func words(_ words: [String]) -> Command {
                Command("tftp", ["-m", "netascii", "127.0.0.1", port, "-c"] + words)
            }
            try await check(words(["get", "text", got.string]))
            #expect(try FileTree.readText(got) == text)
            try await check(words(["put", got.string, "result"]))
            #expect(try FileTree.readText(uploads.appending("result")) == text)
        }
    }

    @Test("64 clients at once, of every kind") func crowd() async throws {
        guard await hasClients() else { return }
        try await withServer { server, directory, _ in
            let port = UInt16(server.endpoint.port)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<64 {
                    let got = directory.appending("got\(number)")
                    let client = Client.allCases[number % Client.allCases.count]
                    group.addTask { try await check(client.get("file", got, port)) }
                }
                try await group.waitForAll()
            }
            for number in 0..<64 {
                #expect(try FileTree.read(directory.appending("got\(number)")) == Self.content)
            }
        }
    }
}
