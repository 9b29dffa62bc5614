import BuildOSKit
import CurlFetcher
import Glibc
import LocalTransport
import TestSupport
import Testing

/// By TFTP hosts get their build id (BOOT-8).
@Suite("Fetcher, tftp") struct FetcherTFTP {
    @Test("BOOT-8: tftp from a real server: content and digest, an empty file, a missing one, too large a one")
    func realServer() async throws {
        guard Requirements.isMet(geteuid() == 0, "port 69 needs root") else { return }
        let transport = LocalTransport()
        let hasServer = (try? await transport.check(Command("dnsmasq", ["--version"]))) != nil
        guard Requirements.isMet(hasServer, "dnsmasq is not installed") else { return }
        try await withTemporaryDirectory { directory in
            let (site, got) = (directory.appending("site"), directory.appending("got"))
            try FileTree.makeDirectory(site)
            let content = (0..<3_000_001).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            try FileTree.write(content, to: site.appending("big"))
            try FileTree.write("", to: site.appending("empty"))
            // An address of the loopback network of its own, so that other servers are not in the way.
            let address = "127.\(Int.random(in: 60...90)).\(Int.random(in: 1...250)).\(Int.random(in: 1...250))"
            try await withServer(at: address, site) {
                let fetcher = try CurlFetcher()
                func fetch(_ name: String, maximum: Int64 = 1 << 30) async throws -> FetchOutcome {
                    try await fetcher.fetch(
                        FetchRequest(
                            url: ResourceURL("tftp://\(address)/\(name)"),
                            destination: got,
                            digestAlgorithm: .sha256,
                            limits: FetchLimits(maximumBytes: maximum, totalTimeout: .seconds(30))
                        )
                    )
                }
                guard case .fetched(let file) = try await fetch("big") else {
                    Issue.record("not modified")
                    return
                }
                #expect(try FileTree.read(got, limit: 1 << 24) == content)
                let sum = try await transport.check(Command("sha256sum", [got.string])).outputText
                #expect(sum.hasPrefix(file.digest?.hexadecimal ?? "none"))
                _ = try await fetch("empty")
                #expect(try FileTree.read(got) == [])
                for (name, kind) in [("missing", FetchError.Kind.notFound), ("big", .tooLarge)] {
                    do {
                        _ = try await fetch(name, maximum: 1_000_000)
                        Issue.record("\(name) was fetched")
                    } catch let error as FetchError {
                        #expect(error.kind == kind, "\(error)")
                    }
                    #expect(!FileTree.exists(got))
                }
            }
        }
    }

    @Test("BOOT-8: a TFTP server that isn't there, or is silent, is given up at the time limit") func silentServer()
        async throws
    {
        try await withTemporaryDirectory { directory in
            let silent = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            defer { close(silent) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let isBound = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(silent, $0, length) == 0 && getsockname(silent, $0, &length) == 0
                }
            }
            try #require(isBound)
            let request = FetchRequest(
                url: try ResourceURL("tftp://127.0.0.1:\(UInt16(bigEndian: address.sin_port))/buildos-buildid"),
                destination: directory.appending("got"),
                limits: FetchLimits(totalTimeout: .seconds(2))
            )
            do {
                _ = try await CurlFetcher().fetch(request)
                Issue.record("it was fetched")
            } catch {
                #expect((error as? FetchError)?.kind == .timedOut, "\(error)")
            }
            #expect(try FileTree.names(in: directory).isEmpty)
        }
    }

    private func withServer(
        at address: String,
        _ site: FilePath,
        _ body: () async throws -> Void
    ) async throws {
        let (lines, output) = AsyncStream<String>.makeStream()
        let server = Task {
            defer { output.finish() }
            return try await LocalTransport().run(
                Command(
                    "dnsmasq",
                    [
                        "--no-daemon", "--port=0", "--enable-tftp", "--tftp-root=\(site)", "--bind-interfaces",
                        "--listen-address=\(address)", "--user=root", "--conf-file=/dev/null", "--pid-file=",
                        "--no-resolv", "--no-hosts",
                    ]
                ),
                input: .none,
                output: .discarded,
                error: .lines { output.yield($0) },
                timeLimit: .seconds(120)
            )
        }
        for await line in lines where line.contains("TFTP root") { break }
        let result: Result<Void, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        server.cancel()
        _ = await server.result
        try result.get()
    }
}
