import BuildOSKit
import Glibc
import Synchronization
import TFTPStore
import TestSupport

/// A store that is the real one but for one thing, to show that the suite finds it.
final class BrokenArtifactStore: ArtifactStore {
    let backendName = "broken"
    let capabilities = ArtifactStoreCapabilities(atomicSwitch: true, serves: ["tftp"])
    private let real: TFTPStore
    private let root: FilePath
    private let fault: Fault

    /// What is done otherwise; where nothing is said, it is done right.
    struct Fault: Sendable {
        var publish: (@Sendable (TFTPStore, ArtifactStaging, FilePath) async throws -> FilePath)?
        var configuration: (@Sendable (inout ArtifactServerConfiguration) -> Void)?
        var packets: (@Sendable () -> UDPRelay.Meddling)?
        var stopsQuietly = false
        var recovers = true
    }

    init(root: FilePath, _ fault: Fault) throws {
        real = try TFTPStore(root: root)
        self.root = root
        self.fault = fault
    }

    func recover() async throws(ArtifactStoreError) { if fault.recovers { try await real.recover() } }

    func begin(_ set: ArtifactSetName) async throws(ArtifactStoreError) -> ArtifactStaging {
        try await real.begin(set)
    }

    func publish(_ staging: ArtifactStaging) async throws(ArtifactStoreError) -> FilePath {
        guard let publish = fault.publish else { return try await real.publish(staging) }
        do {
            return try await publish(real, staging, root)
        } catch {
            throw error as? ArtifactStoreError ?? ArtifactStoreError(path: root, cause: "\(error)")
        }
    }

    func abandon(_ staging: ArtifactStaging) async { await real.abandon(staging) }

    func published(_ set: ArtifactSetName) async throws(ArtifactStoreError) -> FilePath? {
        try await real.published(set)
    }

    func remove(_ set: ArtifactSetName) async throws(ArtifactStoreError) { try await real.remove(set) }

    func serve(
        _ configuration: ArtifactServerConfiguration
    ) async throws(ArtifactStoreError) -> any ArtifactServer {
        var configuration = configuration
        fault.configuration?(&configuration)
        let server = try await real.serve(configuration)
        guard fault.packets != nil || fault.stopsQuietly else { return server }
        do {
            return try BrokenServer(server, fault)
        } catch {
            throw ArtifactStoreError(path: root, cause: "\(error)")
        }
    }

    private final class BrokenServer: ArtifactServer {
        let endpoint: ServerEndpoint
        let transfers: AsyncStream<ArtifactTransfer>
        private let real: any ArtifactServer
        private let relay: UDPRelay?
        private let quiet: AsyncStream<ArtifactTransfer>.Continuation?

        init(_ real: any ArtifactServer, _ fault: Fault) throws {
            self.real = real
            if fault.stopsQuietly {
                let (stream, continuation) = AsyncStream<ArtifactTransfer>.makeStream()
                (transfers, quiet) = (stream, continuation)
            } else {
                (transfers, quiet) = (real.transfers, nil)
            }
            relay = try fault.packets.map { try UDPRelay(to: UInt16(real.endpoint.port), $0()) }
            endpoint = ServerEndpoint(host: "127.0.0.1", port: relay.map { Int($0.port) } ?? real.endpoint.port)
        }

        func stop() async {
            if let quiet { quiet.finish() } else { await real.stop() }
        }
    }
}

extension BrokenArtifactStore.Fault {
    /// Each fault by its name, with words from the name of a check that must find it.
    static let all: [(name: String, fault: BrokenArtifactStore.Fault, foundBy: String)] = [
        ("publishing empties the old set in place", inPlace, "what is open reads on"),
        ("a set is away for a moment while it is switched", withGap, "a reader sees one whole set"),
        ("what was staged survives recovery", .init(recovers: false), "recovery drops what was staged"),
        ("the limit of an upload is passed over", uploads { $0.maximumBytes = .max }, "more than the limit is error 3"),
        ("any name may be written", uploads { $0.names = nil }, "names that may not be written"),
        ("a file is replaced that must not be", uploads { $0.mayReplace = true }, "is error 6"),
        ("any name may be read", serving { $0.readableNames = nil }, "only the names that may be read"),
        ("withheld requests are answered", serving { $0.withheldNames = [] }, "a withheld request"),
        (
            "the root is one directory too high",
            serving { $0.readRoot = $0.readRoot.removingLastComponent() }, "files of every length"
        ),
        ("there is no limit to transfers", serving { $0.maximumSessions = 1000 }, "transfers beyond the limits"),
        ("a client that is gone is waited for", serving { $0.retransmissionTimeout = .seconds(3600) }, "sent again"),
        ("every block is sent twice", .init(packets: apprentice), "the sorcerer's apprentice"),
        ("block numbers roll over to 1", .init(packets: rollsToOne), "roll over to 0"),
        ("a byte changes on its way", .init(packets: falsifying), "files of every length"),
        ("options are granted that nobody asked for", .init(packets: granting), "options are agreed to"),
        ("strangers are not told", .init(packets: silentToStrangers), "a stranger's packet"),
        ("stopping does nothing but end the events", .init(stopsQuietly: true), "gives its port back"),
    ]

    private static func serving(
        _ change: @escaping @Sendable (inout ArtifactServerConfiguration) -> Void
    ) -> BrokenArtifactStore.Fault { .init(configuration: change) }

    private static func uploads(
        _ change: @escaping @Sendable (inout UploadRules) -> Void
    ) -> BrokenArtifactStore.Fault {
        serving { configuration in
            guard var rules = configuration.uploads else { return }
            change(&rules)
            configuration.uploads = rules
        }
    }

    private static let inPlace = BrokenArtifactStore.Fault(publish: { store, staging, root in
        guard let old = try await store.published(staging.set) else { return try await store.publish(staging) }
        for name in try FileTree.names(in: staging.directory) where FileTree.exists(old.appending(name)) {
            let bytes = try FileTree.read(staging.directory.appending(name))
            let file = try FileDescriptor.open(old.appending(name), .writeOnly, options: .truncate)
            _ = try file.closeAfter { try file.writeAll(bytes) }
        }
        return try await store.publish(staging)
    })

    private static let withGap = BrokenArtifactStore.Fault(publish: { store, staging, root in
        try await store.remove(staging.set)
        return try await store.publish(staging)
    })

    @Sendable private static func apprentice() -> UDPRelay.Meddling {
        { direction, packet in
            direction == .toClient && packet.starts(with: [0, 3]) ? [packet, packet] : [packet]
        }
    }

    /// As a server that counts in 16 bits and leaves 0 out, which some do.
    @Sendable private static func rollsToOne() -> UDPRelay.Meddling {
        let hasRolled = Mutex(false)
        return { direction, packet in
            guard packet.count >= 4, packet[0] == 0, packet[1] == (direction == .toClient ? 3 : 4) else {
                return [packet]
            }
            let number = UInt16(packet[2]) << 8 | UInt16(packet[3])
            let rolled = hasRolled.withLock { rolled in
                if direction == .toClient, number == 0 { rolled = true }
                return rolled
            }
            guard rolled, number < 1000 else { return [packet] }
            let shown = direction == .toClient ? number &+ 1 : number &- 1
            return [[0, packet[1], UInt8(shown >> 8), UInt8(shown & 0xff)] + packet.dropFirst(4)]
        }
    }

    @Sendable private static func falsifying() -> UDPRelay.Meddling {
        { direction, packet in
            guard direction == .toClient, packet.starts(with: [0, 3, 0, 3]), packet.count > 4 else { return [packet] }
            var packet = packet
            packet[4] ^= 1
            return [packet]
        }
    }

    @Sendable private static func granting() -> UDPRelay.Meddling {
        { direction, packet in
            guard direction == .toClient, packet.starts(with: [0, 6]) else { return [packet] }
            return [packet + Array("windowsize\u{0}2\u{0}".utf8)]
        }
    }

    @Sendable private static func silentToStrangers() -> UDPRelay.Meddling {
        { direction, packet in
            direction == .toClient && packet.starts(with: [0, 5, 0, 5]) ? [] : [packet]
        }
    }
}
