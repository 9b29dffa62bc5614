import BuildOSConformance
import BuildOSKit
import Glibc
import TestSupport
import Testing

@testable import CurlFetcher

/// What curl's fetcher does beyond what the suite asks of every one.
@Suite("Fetcher, curl") struct CurlFetcherTests {
    @Test("a refusal is told with the server's own words, if these are plain text") func refusalText() async throws {
        let error = await refusal(of: "/explained/400")
        #expect(error?.detail.contains("HTTP status 400: invalid session") == true, "\(String(describing: error))")
        #expect(error?.httpStatus == 400)
    }

    @Test(
        "certificates are looked for where curl(1) looks",
        arguments: [
            ([:], nil, nil),
            (["CURL_CA_BUNDLE": "/a", "SSL_CERT_FILE": "/b", "SSL_CERT_DIR": "/c"], "/a", nil),
            (["SSL_CERT_FILE": "/b"], "/b", nil),
            (["CURL_CA_BUNDLE": "", "SSL_CERT_FILE": "/b", "SSL_CERT_DIR": "/c"], "/b", "/c"),
        ] as [([String: String], String?, String?)]
    )
    func certificates(environment: [String: String], file: String?, directory: String?) {
        let access = ServerAccess(FetcherOptions()) { environment[$0] }
        #expect(access.certificateFile == file)
        #expect(access.certificateDirectory == directory)
        #expect(!access.isFileAlone)
        let chosen = ServerAccess(FetcherOptions(certificateBundle: "/mine")) { environment[$0] }
        #expect(chosen.certificateFile == "/mine" && chosen.certificateDirectory == nil && chosen.isFileAlone)
    }

    @Test("a proxy in the environment is used, but not for hosts in no_proxy, nor for files") func proxyOfEnvironment()
        async throws
    {
        // The environment is the whole process's, so this one has a process of its own.
        await #expect(processExitsWith: .success) {
            let (proxy, server) = (try MisbehavingServer(), try MisbehavingServer())
            setenv("http_proxy", "http://127.0.0.1:\(proxy.port)", 1)
            setenv("all_proxy", "http://127.0.0.1:\(proxy.port)", 1)
            setenv("no_proxy", "127.0.0.1", 1)
            try await withTemporaryDirectory { directory in
                let fetcher = try CurlFetcher()
                func fetch(_ url: ResourceURL) async throws {
                    _ = try await fetcher.fetch(FetchRequest(url: url, destination: directory.appending("got")))
                }
                try await fetch(ResourceURL("http://no-such-host.invalid/a/10"))
                try #require(proxy.requestCount == 1)
                try await fetch(server.url("/a/10"))
                try FileTree.write("here", to: directory.appending("file"))
                try await fetch(ResourceURL("file://\(directory)/file"))
                try #require(proxy.requestCount == 1 && server.requestCount == 1)
            }
        }
    }

    @Test("a header can't be smuggled in by a content type or a validator") func headerInjection() async throws {
        let server = try MisbehavingServer()
        defer { server.stop() }
        try await withTemporaryDirectory { directory in
            var posted = FetchRequest(url: try server.url("/echo"), destination: directory.appending("got"))
            posted.posting = FetchBody(contentType: "text/plain\r\nX-Forged: 1", content: .bytes([]))
            var conditional = FetchRequest(url: try server.url("/echo"), destination: directory.appending("got"))
            conditional.unlessMatching = ResourceValidators(entityTag: "\"v\"\nX-Forged: 1")
            for request in [posted, conditional] {
                await #expect(throws: FetchError.self) { try await CurlFetcher().fetch(request) }
            }
            #expect(server.requestCount == 0)
        }
    }

    @Test(
        "ranges in answers are read strictly",
        arguments: [
            ("bytes 5-9/10", 5, 10), ("bytes 5-9/*", 5, nil), ("bytes */10", nil, nil), ("bytes 9-5/10", nil, nil),
            ("bytes 5-9/9", nil, nil), ("items 5-9/10", nil, nil), ("bytes 5-9", nil, nil), ("", nil, nil),
            ("bytes -5-9/10", nil, nil), ("bytes 5-99999999999999999999/*", nil, nil),
        ] as [(String, Int64?, Int64?)]
    )
    func contentRange(text: String, first: Int64?, whole: Int64?) {
        let range = ContentRange(text)
        #expect(range?.first == first)
        #expect(range?.whole == whole)
    }

    private func refusal(of path: String) async -> FetchError? {
        do {
            let server = try MisbehavingServer()
            defer { server.stop() }
            try await withTemporaryDirectory { directory in
                let request = FetchRequest(url: try server.url(path), destination: directory.appending("got"))
                _ = try await CurlFetcher().fetch(request)
            }
            return nil
        } catch {
            return error as? FetchError
        }
    }
}
