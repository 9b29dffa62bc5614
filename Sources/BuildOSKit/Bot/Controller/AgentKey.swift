import FoundationEssentials
import Glibc

/// The RSA key by which controllers know this host (build2-facts, 2.6). openssl(1) does the arithmetic.
public struct AgentKey: Sendable {
    /// Why there is no key, or nothing could be signed.
    public struct Failure: DiagnosableError, Hashable {
        public let subject: String
        public let cause: String
        public let remedy: String?
    }

    /// The private key: PEM without a password, readable by its owner alone.
    public let file: FilePath
    /// SHA-256 of the public key in DER (SubjectPublicKeyInfo): 64 lower-case hexadecimal digits. By it a controller finds
    /// the key.
    public let fingerprint: String
    /// The public key in PEM, to be registered with controllers.
    public let publicKey: String
    private let openssl: OpenSSL

    /// Size of new keys in bits.
    public static let usualBits = 4096

    /// Takes the key in a file; makes one if there is none.
    ///
    /// - Parameters:
    ///   - transport: runs openssl(1), on this machine.
    ///   - bits: size of a new key.
    /// - Throws: ``Failure``
    public static func loadOrMake(
        _ file: FilePath,
        by transport: any Transport,
        bits: Int = usualBits
    ) async throws(Failure) -> AgentKey {
        if !FileTree.exists(file) { try await make(file, OpenSSL(transport), bits) }
        return try await AgentKey(file, by: transport)
    }

    /// Takes the key in a file.
    ///
    /// - Parameter transport: runs openssl(1), on this machine.
    /// - Throws: ``Failure``
    public init(_ file: FilePath, by transport: any Transport) async throws(Failure) {
        var status = stat()
        guard stat(file.string, &status) == 0 else {
            throw Failure(subject: file.string, cause: "\(Errno(rawValue: errno))", remedy: nil)
        }
        guard status.st_mode & 0o077 == 0 else {
            let remedy = "chmod 600 \(file), and make a new key if others may have read it"
            throw Failure(subject: file.string, cause: "others than its owner may read the key", remedy: remedy)
        }
        openssl = OpenSSL(transport)
        self.file = file
        let pem = try await openssl.run(["pkey", "-in", file.string, "-passin", "pass:", "-pubout"])
        publicKey = String(decoding: pem, as: UTF8.self)
        let der = try await openssl.run(["pkey", "-pubin", "-outform", "DER"], input: .bytes(pem))
        fingerprint = try await openssl.sha256(.bytes(der))
    }

    /// Signs a controller's challenge: PKCS#1 v1.5 over the digits themselves, in Base64 lines of 76 characters.
    ///
    /// - Throws: ``Failure``
    public func sign(_ challenge: String) async throws(Failure) -> String {
        let signature = try await openssl.run(
            ["pkeyutl", "-sign", "-inkey", file.string, "-passin", "pass:"],
            input: .bytes(Array(challenge.utf8))
        )
        return Data(signature).base64EncodedString(options: [.lineLength76Characters, .endLineWithLineFeed])
    }

    private static func make(_ file: FilePath, _ openssl: OpenSSL, _ bits: Int) async throws(Failure) {
        let pem = try await openssl.run(["genrsa", "\(bits)"])
        let new = FilePath("\(file).new-\(getpid())-\(UInt32.random(in: .min ... .max))")
        do {
            try FileTree.makeDirectory(file.removingLastComponent())
            try FileTree.write(pem, to: new, permissions: [.ownerReadWrite])
        } catch {
            throw Failure(subject: error.subject, cause: error.cause, remedy: error.remedy)
        }
        defer { unlink(new.string) }
        // Of agents that begin at the same time the first one's key is everyone's.
        guard link(new.string, file.string) == 0 || errno == EEXIST else {
            throw Failure(subject: file.string, cause: "can't make it: \(Errno(rawValue: errno))", remedy: nil)
        }
        FileTree.synchronize(file.removingLastComponent())
    }
}

/// What is had from openssl(1): programs are run, as the kit itself links no C library.
struct OpenSSL: Sendable {
    private let transport: any Transport

    init(_ transport: any Transport) { self.transport = transport }

    /// Runs it and returns what it wrote.
    func run(_ arguments: [String], input: CommandInput = .none) async throws(AgentKey.Failure) -> [UInt8] {
        do {
            return try await transport.check(
                Command("openssl", arguments),
                input: input,
                timeLimit: .seconds(120)
            ).output
        } catch {
            throw AgentKey.Failure(subject: error.subject, cause: error.cause, remedy: error.remedy)
        }
    }

    /// The SHA-256 digest of a content, 64 lower-case hexadecimal digits.
    func sha256(_ content: CommandInput) async throws(AgentKey.Failure) -> String {
        let line = String(decoding: try await run(["dgst", "-sha256", "-r"], input: content), as: UTF8.self)
        guard let digest = Digest(.sha256, hexadecimal: line.prefix { !$0.isWhitespace }) else {
            throw AgentKey.Failure(subject: "openssl dgst", cause: "it wrote no digest", remedy: nil)
        }
        return digest.hexadecimal
    }
}
