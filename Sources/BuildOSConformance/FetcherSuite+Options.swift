import BuildOSKit

extension FetcherSuite {
    /// What ``BuildOSKit/FetcherOptions`` promise.
    var options: [ConformanceCheck] {
        guard let provider else { return [] }
        return [
            check("no more transfers run at once than the options allow; one that waits can be cancelled") { bench in
                let bounded = try provider.makeFetcher(FetcherOptions(maximumTransfers: 2))
                let fetches = try (0..<6).map { number in
                    let request = FetchRequest(
                        url: try bench.server.url("/held"),
                        destination: bench.directory.appending("held-\(number)")
                    )
                    return Task { try await bounded.fetch(request) }
                }
                while bench.server.requestCount < 2 { await Task.yield() }
                let waiting = Task { try await bounded.fetch(bench.request("/held")) }
                waiting.cancel()
                try bench.requireCancelled(await waiting.result)
                // While these are answered, a third would have come by now.
                for _ in 0..<20 { _ = try await bench.fetched("/a/10") }
                bench.server.release()
                for fetch in fetches { _ = try await fetch.value }
                try require(bench.server.mostHeld == 2, "\(bench.server.mostHeld) ran at once")
            },
            check("the proxy of the options is asked for every host") { bench in
                let proxied = try provider.makeFetcher(
                    FetcherOptions(proxy: "http://127.0.0.1:\(bench.server.port)")
                )
                for host in ["no-such-host.invalid", "127.0.0.1:1", "localhost:1"] {
                    let request = FetchRequest(
                        url: try ResourceURL("http://\(host)/a/10"),
                        destination: bench.destination,
                        limits: FetchLimits(totalTimeout: .seconds(60))
                    )
                    _ = try await proxied.fetch(request)
                    try bench.requireContent(letters: 10)
                }
            },
            check("a proxy that isn't there is 'unreachable'") { bench in
                let proxy = "http://127.0.0.1:\(try MisbehavingServer.unusedPort())"
                let proxied = try provider.makeFetcher(FetcherOptions(proxy: proxy))
                do {
                    _ = try await proxied.fetch(bench.request("/a/10"))
                    throw ConformanceFailure("it was fetched past the proxy")
                } catch let error as FetchError {
                    try require(error.kind == .unreachable, "expected unreachable, got \(error)")
                }
            },
        ]
    }

    /// What https promises.
    var secure: [ConformanceCheck] {
        guard let provider else { return [] }
        return needing(
            "https",
            capabilities.schemes.contains("https"),
            [
                check("https: a server whose certificate is in the bundle of the options is trusted") { bench in
                    try await withTLSServer(transport, bench.directory, name: "IP:127.0.0.1") { server in
                        let trusting = try provider.makeFetcher(FetcherOptions(certificateBundle: server.certificate))
                        guard case .fetched = try await trusting.fetch(bench.request(to: server)) else {
                            throw ConformanceFailure("'not modified' was the answer to a plain request")
                        }
                        try bench.requireContent(letters: 100_000)
                    }
                },
                check("https: a server nobody vouches for is 'untrusted', and nothing of it is kept") { bench in
                    try await withTLSServer(transport, bench.directory, name: "IP:127.0.0.1") { server in
                        let error = try await bench.failure(of: bench.request(to: server))
                        try require(error.kind == .untrusted, "expected untrusted, got \(error)")
                    }
                },
                check("https: a certificate for another name is 'untrusted'") { bench in
                    try await withTLSServer(transport, bench.directory, name: "DNS:elsewhere.example") { server in
                        let trusting = try provider.makeFetcher(FetcherOptions(certificateBundle: server.certificate))
                        let other = FetchBench(fetcher: trusting, server: bench.server, directory: bench.directory)
                        let error = try await other.failure(of: bench.request(to: server))
                        try require(error.kind == .untrusted, "expected untrusted, got \(error)")
                    }
                },
                check("https: a bundle that isn't there is told") { bench in
                    try await withTLSServer(transport, bench.directory, name: "IP:127.0.0.1") { server in
                        let missing = bench.directory.appending("missing")
                        let trusting = try provider.makeFetcher(FetcherOptions(certificateBundle: missing))
                        let other = FetchBench(fetcher: trusting, server: bench.server, directory: bench.directory)
                        let error = try await other.failure(of: bench.request(to: server))
                        try require(error.kind == .untrusted, "expected untrusted, got \(error)")
                    }
                },
            ]
        )
    }
}

extension FetchBench {
    fileprivate func request(to server: TLSServer) throws -> FetchRequest {
        FetchRequest(
            url: try ResourceURL("https://127.0.0.1:\(server.port)/letters"),
            destination: destination,
            limits: FetchLimits(totalTimeout: .seconds(60))
        )
    }
}
