import BuildOSKit
import FoundationEssentials
import Glibc

/// What can be told of a private key file without its passphrase.
struct KeyFile {
    let path: FilePath
    let isEncrypted: Bool
    /// `nil` if the format doesn't tell.
    let publicKey: PublicKey?
    let isRSA: Bool

    /// Why a file is not used.
    struct Flaw: Error {
        let reason: String
        /// Whether there is no such file, which is worth telling only if somebody named it.
        let isAbsence: Bool
    }

    /// Looks at a file.
    static func read(_ path: FilePath) throws(Flaw) -> KeyFile {
        let text: String
        do throws(FileError) {
            text = String(decoding: try FileTree.read(path, limit: 64 << 10), as: UTF8.self)
        } catch {
            throw Flaw(reason: error.errno.description, isAbsence: error.errno == .noSuchFileOrDirectory)
        }
        let file = try KeyFile(text, path: path)
        var status = stat()
        // As ssh(1) does it: a key that others can read is no secret.
        if stat(path.string, &status) == 0, status.st_uid == getuid(), status.st_mode & 0o077 != 0 {
            throw Flaw(reason: "others can read it: chmod 600 \(path)", isAbsence: false)
        }
        return file
    }

    /// Parses a file's text: OpenSSH's own format (PROTOCOL.key) or PEM.
    init(_ text: String, path: FilePath) throws(Flaw) {
        self.path = path
        let lines = text.split(whereSeparator: \.isNewline)
        guard let begin = lines.first, begin.hasPrefix("-----BEGIN "), begin.hasSuffix("PRIVATE KEY-----") else {
            throw Flaw(reason: "it is not a private key", isAbsence: false)
        }
        guard begin == "-----BEGIN OPENSSH PRIVATE KEY-----" else {
            isEncrypted =
                begin.contains("ENCRYPTED")
                || lines.contains { $0.hasPrefix("Proc-Type:") && $0.hasSuffix("ENCRYPTED") }
            publicKey = nil
            isRSA = begin.contains("RSA")
            return
        }
        let body = lines.dropFirst().prefix { !$0.hasPrefix("-----") }.joined()
        var reader = WireReader(Array(Data(base64Encoded: body) ?? Data()))
        guard reader.take(15) == Array("openssh-key-v1\0".utf8), let cipher = reader.string(),
            reader.string() != nil, reader.string() != nil, reader.number() == 1,
            let blob = reader.string(), let key = PublicKey(blob: blob)
        else { throw Flaw(reason: "it is a damaged private key", isAbsence: false) }
        isEncrypted = cipher != Array("none".utf8)
        publicKey = key
        isRSA = key.type == "ssh-rsa"
    }
}
