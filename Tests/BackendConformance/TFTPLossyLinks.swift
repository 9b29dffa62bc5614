import BuildOSKit
import TFTPStore
import TestSupport
import Testing

@testable import BuildOSConformance

/// The server over links that lose, repeat and reorder packets (TOOL-8, BOT-3).
@Suite("TFTPStore, lossy links") struct TFTPLossyLinks {
    private static let content = (0..<200_001).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 9) }

    @Test(
        "every byte arrives, both ways, whatever the link does",
        arguments: [1, 2, 3, 4] as [UInt64],
        [1, 8, 64]
    ) func everyByte(seed: UInt64, window: Int) async throws {
        try await withTemporaryDirectory { directory in
            let (root, uploads) = (directory.appending("served"), directory.appending("uploads"))
            for directory in [root, uploads] { try FileTree.makeDirectory(directory) }
            try FileTree.write(Self.content, to: root.appending("file"))
            let server = try await TFTPStore(root: directory.appending("store")).serve(
                ArtifactServerConfiguration(
                    endpoint: ServerEndpoint(host: "127.0.0.1", port: 0),
                    readRoot: root,
                    uploads: UploadRules(directory: uploads, maximumBytes: 1 << 20),
                    retransmissionTimeout: .milliseconds(50),
                    maximumRetransmissions: 200
                )
            )
            let relay = try UDPRelay(
                to: UInt16(server.endpoint.port),
                UDPRelay.lossy(seed: seed, loss: 0.05, repetition: 0.05, reordering: 0.05)
            )
            let endpoint = ServerEndpoint(host: "127.0.0.1", port: Int(relay.port))
            let options = window == 1 ? [] : [("blksize", "1428"), ("windowsize", "\(window)")]
            let got = try await TFTPProbe.run(endpoint) { try $0.read("file", options) }
            #expect(got == Self.content)
            let code = try await TFTPProbe.run(endpoint) { try $0.write("result", Self.content, options) }
            #expect(code == nil)
            #expect(try FileTree.read(uploads.appending("result")) == Self.content)
            await server.stop()
            #expect(try FileTree.names(in: uploads) == ["result"])
        }
    }
}
