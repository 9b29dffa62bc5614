import BuildOSKit
import Glibc
import NIOCore
import NIOPosix

/// A TFTP server (RFC 1350, 2347 to 2349, 7440; TOOL-8, BOT-3).
///
/// Requests come to one socket; every transfer has a socket, and so a port, of its own. All run on NIO's threads, and what may
/// wait for a disk on threads beside these.
final class TFTPServer: ArtifactServer {
    let endpoint: ServerEndpoint
    let transfers: AsyncStream<ArtifactTransfer>

    private let configuration: ArtifactServerConfiguration
    private let policy: RequestPolicy
    private let registry: SessionRegistry
    private let rate: RateLimit?
    private let events: AsyncStream<ArtifactTransfer>.Continuation
    private let channel: any Channel
    private let address: SocketAddress

    private static let group = MultiThreadedEventLoopGroup.singleton
    /// Requests that wait in the socket while earlier ones are looked at.
    private static let listenerBuffer = 1 << 20

    /// Starts listening.
    ///
    /// - Throws: ``BuildOSKit/ArtifactStoreError``.
    static func start(_ configuration: ArtifactServerConfiguration) async throws(ArtifactStoreError) -> TFTPServer {
        let address = try await prepare(configuration)
        let socket: Int32
        do throws(Errno) {
            socket = try UDPSocket.bound(to: address, receiveBuffer: listenerBuffer)
        } catch {
            throw ArtifactStoreError(
                path: configuration.readRoot,
                cause: "can't be served at \(configuration.endpoint): \(error)",
                remedy: remedy(error)
            )
        }
        // The handler needs the server, which needs the channel: reading begins when there are both.
        let bootstrap = DatagramBootstrap(group: group)
            .channelOption(.autoRead, value: false)
            .channelOption(.receivePacketInfo, value: true)
            .channelOption(
                .recvAllocator,
                value: FixedSizeRecvByteBufferAllocator(capacity: TFTPPacket.maximumRequestLength + 1)
            )
        do {
            let channel = try await bootstrap.withBoundSocket(socket).get()
            let server = TFTPServer(configuration, channel: channel, address: address)
            let listener = RequestListener(
                take: { [weak server] request, client, arrivedAt in server?.take(request, client, arrivedAt) },
                refuse: { [weak server] refusal, client, arrivedAt in
                    guard let server else { return }
                    UDPSocket.send(.error(refusal), from: server.local(arrivedAt), to: client)
                }
            )
            try await channel.pipeline.addHandler(listener).get()
            try await channel.setOption(.autoRead, value: true).get()
            return server
        } catch {
            throw ArtifactStoreError(path: configuration.readRoot, cause: "can't be served: \(error)")
        }
    }

    private init(_ configuration: ArtifactServerConfiguration, channel: any Channel, address: SocketAddress) {
        self.configuration = configuration
        self.channel = channel
        self.address = address
        endpoint = ServerEndpoint(host: configuration.endpoint.host, port: channel.localAddress?.port ?? 0)
        policy = RequestPolicy(configuration)
        registry = SessionRegistry(
            maximum: configuration.maximumSessions,
            maximumPerClient: configuration.maximumSessionsPerClient
        )
        rate = configuration.bytesPerSecond.map { RateLimit(bytesPerSecond: $0) }
        (transfers, events) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1024))
    }

    deinit {
        channel.close(promise: nil)
        events.finish()
    }

    func stop() async {
        try? await channel.close().get()
        await registry.stop()
        events.finish()
    }

    // MARK: Requests

    private func take(_ request: TFTPRequest, _ client: SocketAddress, _ arrivedAt: SocketAddress?) {
        let decision = policy.decide(request)
        if case .withhold = decision {
            if registry.isNewWithheld(request, from: client) { report(.withheld, request, client) }
            return
        }
        let local = local(arrivedAt)
        if case .refuse(let refusal) = decision { return refuse(refusal, request, from: local, client) }
        switch registry.admit(request, from: client) {
        case .repeated: break
        case .refused(let refusal): refuse(refusal, request, from: local, client)
        case .admitted(let ticket):
            rate?.prune(now: .uptime)
            let loop = Self.group.next()
            let configuration = configuration
            NIOThreadPool.singleton.runIfActive(eventLoop: loop) {
                Result { () throws(TFTPRefusal) in try Prepared(request, decision, configuration) }
            }.whenComplete { result in
                switch result {
                case .success(.success(let prepared)): self.begin(prepared, request, ticket, local, client, on: loop)
                case .success(.failure(let refusal)):
                    self.registry.remove(ticket)
                    self.refuse(refusal, request, from: local, client)
                case .failure(let error):
                    self.registry.remove(ticket)
                    self.refuse(TFTPRefusal(.notDefined, "\(error)"), request, from: local, client)
                }
            }
        }
    }

    private func begin(
        _ prepared: Prepared,
        _ request: TFTPRequest,
        _ ticket: SessionRegistry.Ticket,
        _ local: SocketAddress,
        _ client: SocketAddress,
        on loop: any EventLoop
    ) {
        let socket: Int32
        do throws(Errno) {
            socket = try UDPSocket.bound(to: local, receiveBuffer: prepared.receiveBuffer)
        } catch {
            prepared.discard()
            registry.remove(ticket)
            return report(.failed("no socket at \(local): \(error)"), request, client)
        }
        let (registry, configuration, rate) = (registry, configuration, rate)
        let report: @Sendable (ArtifactTransfer.Stage) -> Void = { self.report($0, request, client) }
        DatagramBootstrap(group: loop)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: prepared.readBuffer))
            .channelOption(.datagramVectorReadMessageCount, value: prepared.readBatch > 1 ? prepared.readBatch : 0)
            // An answer is all there is to read, as a rule: looking for more would cost a call to the system for each.
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let session = SessionHandler(
                        client: client,
                        socket: socket,
                        ticket: ticket,
                        registry: registry,
                        transfer: prepared.transfer(configuration, rate),
                        report: report
                    )
                    try channel.pipeline.syncOperations.addHandler(session)
                }
            }
            .withBoundSocket(socket)
            .whenComplete { result in
                switch result {
                case .success(let channel): registry.attach(channel, to: ticket)
                case .failure(let error):
                    prepared.discard()
                    registry.remove(ticket)
                    report(.failed("no channel: \(error)"))
                }
            }
    }

    private func refuse(
        _ refusal: TFTPRefusal,
        _ request: TFTPRequest,
        from local: SocketAddress,
        _ client: SocketAddress
    ) {
        UDPSocket.send(.error(refusal), from: local, to: client)
        report(.failed(refusal.message), request, client)
    }

    private func report(_ stage: ArtifactTransfer.Stage, _ request: TFTPRequest, _ client: SocketAddress) {
        events.yield(
            ArtifactTransfer(
                direction: request.direction,
                name: request.name.printable,
                client: client.ipAddress ?? client.description,
                stage: stage
            )
        )
    }

    /// Where answers come from: the address that was asked, with a port of its own.
    private func local(_ arrivedAt: SocketAddress?) -> SocketAddress {
        var local = address.isWildcard ? arrivedAt ?? address : address
        local.port = 0
        return local
    }

    // MARK: Starting

    private static func prepare(
        _ configuration: ArtifactServerConfiguration
    ) async throws(ArtifactStoreError) -> SocketAddress {
        let endpoint = configuration.endpoint
        guard (0...65_535).contains(endpoint.port),
            let address = try? SocketAddress(ipAddress: endpoint.host, port: endpoint.port)
        else {
            throw ArtifactStoreError(
                path: configuration.readRoot,
                cause: "can't be served at \(endpoint): that isn't a numeric address with a port"
            )
        }
        try await DedicatedThread.run(name: "tftp-prepare") { () throws(ArtifactStoreError) in
            for directory in [configuration.readRoot] + [configuration.uploads?.directory].compactMap(\.self) {
                guard FileTree.isDirectory(directory) else {
                    throw ArtifactStoreError(path: directory, cause: "it is not a directory")
                }
            }
            do throws(FileError) {
                if let uploads = configuration.uploads { try UploadFile.sweep(uploads.directory) }
            } catch {
                throw ArtifactStoreError(path: error.path, cause: error.cause, remedy: error.remedy)
            }
        }
        return address
    }

    private static func remedy(_ reason: Errno) -> String? {
        switch reason {
        case .addressInUse: "another server has it; stop that, or choose another port"
        case .permissionDenied: "ports below 1024 are for root"
        case .addressNotAvailable: "no interface of this machine has that address"
        default: nil
        }
    }
}

extension SocketAddress {
    fileprivate var isWildcard: Bool { ipAddress == "0.0.0.0" || ipAddress == "::" }
}
