import BuildOSKit

/// A web server over TLS, with a certificate made for the occasion: openssl-s_server(1).
struct TLSServer: Sendable {
    /// The port of 127.0.0.1 it listens at.
    let port: Int
    /// Its certificate, which it has signed itself.
    let certificate: FilePath
}

/// Runs a server that has a file `letters`, 100,000 times the letter a, until the closure ends.
///
/// - Parameter name: what the certificate is for, as a subject alternative name: `IP:…` or `DNS:…`.
/// - Throws: ``ConformanceSkip`` without a transport.
func withTLSServer(
    _ transport: (any Transport)?,
    _ directory: FilePath,
    name: String,
    isolation: isolated (any Actor)? = #isolation,
    _ body: (TLSServer) async throws -> Void
) async throws {
    guard let transport else { throw ConformanceSkip("there is nothing to run openssl with") }
    let site = directory.appending("site")
    let (key, certificate) = (directory.appending("key.pem"), directory.appending("certificate.pem"))
    try FileTree.makeDirectory(site)
    try FileTree.write([UInt8](repeating: UInt8(ascii: "a"), count: 100_000), to: site.appending("letters"))
    try await transport.check(
        Command(
            "openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-keyout", key.string, "-out", certificate.string, "-subj", "/CN=check", "-addext",
                "subjectAltName=\(name)",
            ]
        )
    )
    let (lines, output) = AsyncStream<String>.makeStream()
    let server = Task {
        defer { output.finish() }
        return try await transport.run(
            Command(
                "openssl",
                [
                    "s_server", "-accept", "127.0.0.1:0", "-cert", certificate.string, "-key", key.string, "-WWW",
                ],
                workingDirectory: site
            ),
            input: .none,
            output: .lines { output.yield($0) },
            error: .discarded,
            timeLimit: .seconds(120)
        )
    }
    var port: Int?
    for await line in lines where line.hasPrefix("ACCEPT ") {
        port = line.split(separator: ":").last.flatMap { Int($0) }
        break
    }
    let result: Result<Void, any Error>
    do {
        guard let port else { throw ConformanceFailure("openssl s_server did not start: \(await server.result)") }
        result = .success(try await body(TLSServer(port: port, certificate: certificate)))
    } catch {
        result = .failure(error)
    }
    server.cancel()
    _ = await server.result
    try result.get()
}
