/// Runs guests: network, TFTP server and virtual machine made, watched over, and taken away whatever happens (BOT-2 to
/// BOT-4).
public struct GuestRunner: Sendable {
    private let transport: any Transport
    private let machines: any VirtualMachines
    private let store: any ArtifactStore
    private let user: String?
    private let logger: Logger

    /// Creates a runner.
    ///
    /// - Parameter user: who may open tap devices besides root: whoever runs this.
    public init(
        transport: any Transport,
        machines: any VirtualMachines,
        store: any ArtifactStore,
        user: String?,
        logger: Logger
    ) {
        self.transport = transport
        self.machines = machines
        self.store = store
        self.user = user
        self.logger = logger
    }

    /// Ends what an agent that was killed has left of its guest: the machine, its tap device and rules.
    ///
    /// - Throws: ``VirtualMachineError`` if the hypervisor can't be asked.
    public func cleanUp(_ number: GuestNumber, bridge: String, runtimeDirectory: FilePath) async throws {
        if let machine = try await machines.find(number.virtualMachine, runtimeDirectory: runtimeDirectory) {
            logger.notice("guest \(number.name): it was left by an agent that ended; it is killed")
            try await machine.kill()
        }
        await network(number, bridge).tearDown()
    }

    /// Runs a guest to its end. Cancelling the task interrupts it; the return still waits until all of it is gone.
    ///
    /// - Parameter progress: called as it gets further; must not block.
    /// - Throws: ``VirtualMachineError``, ``TransportError``, ``ArtifactStoreError`` or ``FileError`` if it could not be
    ///   started: a fault of this host, not of the guest.
    public func run(
        _ order: GuestOrder,
        progress: @escaping @Sendable (GuestProgress) -> Void = { _ in }
    ) async throws -> GuestOutcome {
        let (events, sink) = AsyncStream.makeStream(of: GuestWatch.Event.self)
        // A task of its own: what must be undone is undone after a cancellation too.
        let work = Task {
            try await withGuest(order, progress) { guest in
                await attend(guest, order, events, sink, progress)
            }
        }
        return try await withTaskCancellationHandler {
            try await work.value
        } onCancel: {
            sink.yield(.interrupted)
        }
    }

    /// Boots a guest until it first asks for something, which is not answered, and keeps its memory in a file: a later
    /// guest goes on from there, asks again, and is answered.
    ///
    /// The disk must be kept as it is when this returns.
    ///
    /// - Throws: as ``run(_:progress:)``; ``VirtualMachineError`` of kind `timedOut` if it asks for nothing in time.
    public func captureMemory(of order: GuestOrder, to file: FilePath) async throws {
        let work = Task {
            try await withGuest(order, withheld: order.readableNames ?? [], { _ in }) { guest in
                try await withThrowingTaskGroup(of: Bool.self) { group in
                    group.addTask {
                        for await transfer in guest.server.transfers where transfer.stage == .withheld { return true }
                        return false
                    }
                    group.addTask {
                        try await Task.sleep(for: order.limits.startUp)
                        return false
                    }
                    let hasAsked = try await group.next() ?? false
                    group.cancelAll()
                    guard hasAsked else {
                        throw VirtualMachineError(
                            .timedOut,
                            machine: guest.machine.name.description,
                            detail: "it asked for nothing within \(order.limits.startUp)"
                        )
                    }
                }
                try await guest.machine.pause()
                try await guest.machine.saveMemory(to: file)
            }
        }
        try await withTaskCancellationHandler {
            try await work.value
        } onCancel: {
            work.cancel()
        }
    }

    private struct Guest: Sendable {
        let machine: any VirtualMachine
        let server: any ArtifactServer
    }

    private func network(_ number: GuestNumber, _ bridge: String) -> GuestNetwork {
        GuestNetwork(transport: transport, number: number, bridge: bridge, user: user)
    }

    /// Makes a guest, hands it to the body, and takes it away.
    private func withGuest<Result: Sendable>(
        _ order: GuestOrder,
        withheld: Set<String> = [],
        _ progress: @Sendable (GuestProgress) -> Void,
        _ body: (Guest) async throws -> Result
    ) async throws -> Result {
        progress(.preparing)
        let network = network(order.number, order.bridge)
        try await network.setUp()
        do {
            let server = try await store.serve(configuration(order, withheld))
            do {
                var definition = order.connectedDefinition
                if !machines.capabilities.memoryLimit { definition.memoryLimit = nil }
                let machine = try await machines.start(definition, restoring: order.memory)
                do {
                    progress(.starting)
                    let result = try await body(Guest(machine: machine, server: server))
                    await end(machine)
                    await server.stop()
                    await network.tearDown()
                    return result
                } catch {
                    await end(machine)
                    throw error
                }
            } catch {
                await server.stop()
                throw error
            }
        } catch {
            // The network is taken away by somebody who isn't cancelled.
            await Task { await network.tearDown() }.value
            throw error
        }
    }

    private func configuration(_ order: GuestOrder, _ withheld: Set<String>) -> ArtifactServerConfiguration {
        ArtifactServerConfiguration(
            endpoint: ServerEndpoint(host: GuestNetwork.agentAddress, port: order.number.tftpPort),
            readRoot: order.readRoot,
            readableNames: order.readableNames,
            withheldNames: withheld,
            uploads: order.uploads
        )
    }

    private func attend(
        _ guest: Guest,
        _ order: GuestOrder,
        _ events: AsyncStream<GuestWatch.Event>,
        _ sink: AsyncStream<GuestWatch.Event>.Continuation,
        _ progress: @Sendable (GuestProgress) -> Void
    ) async -> GuestOutcome {
        let clock = ContinuousClock()
        let start = clock.now
        var watch = GuestWatch(
            limits: order.limits,
            awaited: order.awaited,
            ending: order.keepsDisk ? .powerDown : .kill
        )
        let observers = observe(guest, sink)
        defer { for observer in observers { observer.cancel() } }
        var shown = GuestProgress.starting
        for await event in events {
            for action in watch.handle(event, at: clock.now - start) {
                switch action {
                case .powerDown: try? await guest.machine.powerDown()
                case .suspend:
                    try? await guest.machine.pause()
                    logger.notice("guest \(order.number.name): suspended for somebody to log in")
                case .kill: await end(guest.machine)
                case .finish(let outcome): return outcome
                }
            }
            if let now = watch.phase.progress, now != shown {
                shown = now
                progress(now)
            }
        }
        return .interrupted
    }

    /// Tells the watch of transfers, the machine's end, a panic, and the passing of time.
    private func observe(
        _ guest: Guest,
        _ sink: AsyncStream<GuestWatch.Event>.Continuation
    ) -> [Task<Void, Never>] {
        [
            Task { for await transfer in guest.server.transfers { sink.yield(.transfer(transfer)) } },
            Task {
                do throws(VirtualMachineError) {
                    sink.yield(.ended(try await guest.machine.waitUntilEnded()))
                } catch {
                    if error.kind != .cancelled { sink.yield(.ended(.crashed(error.description))) }
                }
            },
            Task {
                while !Task.isCancelled {
                    try? await Task.sleep(for: .milliseconds(500))
                    if let state = try? await guest.machine.state(), state == .panicked { sink.yield(.panicked) }
                    sink.yield(.tick)
                }
            },
        ]
    }

    private func end(_ machine: any VirtualMachine) async {
        await Task {
            for attempt in 1...10 {
                do throws(VirtualMachineError) {
                    return try await machine.kill()
                } catch {
                    if error.kind == .notRunning { return }
                    logger.error("guest \(machine.name): it can't be killed (try \(attempt)): \(error)")
                    try? await Task.sleep(for: .seconds(1))
                }
            }
        }.value
    }
}

extension GuestWatch.Phase {
    fileprivate var progress: GuestProgress? {
        switch self {
        case .starting: .starting
        case .working: .working
        case .settling, .shuttingDown: .closing
        case .held(let outcome, _): .held(outcome)
        case .ending, .over: nil
        }
    }
}
