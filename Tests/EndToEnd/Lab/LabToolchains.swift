import BuildOSKit
import TestSupport

extension Lab {
    /// What a demo toolchain does when it is built; see `Examples/demo-toolchain/make-toolchain`.
    enum Behaviour: String, Sendable {
        case ok, hang, fail, partial
        case noBot = "no-bbot"
    }

    private var maker: String { StagedTree.checkout.appending("Examples/demo-toolchain/make-toolchain").string }

    /// The certificate that the toolchains' repository has.
    func toolchainTrust() async throws -> String {
        try await transport.check(Command(maker, ["--print-trust"])).outputText.trimmingSuffix(while: \.isNewline)
    }

    /// Puts a toolchain on the web server, as `http://web.lab/<name>/toolchain.sha256`.
    ///
    /// - Parameter corrupt: whether a byte of the archive is changed after its checksum was taken.
    func publishToolchain(
        _ name: String,
        version: String,
        behaviour: Behaviour = .ok,
        corrupt: Bool = false
    ) async throws {
        let drafts = directory.appending("drafts").appending(name)
        try await transport.check(
            Command(
                maker,
                [
                    "--output", drafts.string, "--version", version, "--behaviour", behaviour.rawValue, "--extra-files",
                ]
            )
        )
        if corrupt {
            let archive = drafts.appending(version).appending("build2-toolchain-\(version).tar.xz")
            var bytes = try FileTree.read(archive, limit: 1 << 24)
            bytes[bytes.count / 2] ^= 1
            try FileTree.write(bytes, to: archive)
        }
        // The archives first, what names them last: the hosts are looking.
        let place = web.appending(name)
        try FileTree.makeDirectory(place)
        try await transport.check(Command("cp", ["-r", "\(drafts)/\(version)", place.string]))
        try FileTree.write(
            try FileTree.readText(drafts.appending("toolchain.sha256")),
            to: place.appending("toolchain.sha256")
        )
    }
}
