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

    /// Ends what an agent that was killed has left of its guests: machines, tap devices and rules.
    ///
    /// - Parameters:
    ///   - number: that of the build machine; its auxiliary machines are looked for too.
    ///   - runtimeDirectory: that of each guest's virtual machine.
    /// - Throws: ``VirtualMachineError`` if the hypervisor can't be asked.
    public func cleanUp(_ number: GuestNumber, bridge: String, runtimeDirectory: (GuestNumber) -> FilePath) async throws
    {
        for number in [number] + number.auxiliaries {
            if let machine = try await machines.find(number.virtualMachine, runtimeDirectory: runtimeDirectory(number))
            {
                logger.notice("guest \(number.name): it was left by an agent that ended; it is killed")
                try await machine.kill()
            }
            await network(number, bridge).tearDown()
        }
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
        try await attended(order, progress) {
            progress(.preparing)
            return try await make(order)
        }
    }

    /// Makes a guest for which there is no work yet: all of it is there, but its CPUs stand.
    ///
    /// - Returns: the guest; to be given to ``run(_:progress:)`` or ``remove(_:)``.
    /// - Throws: as ``run(_:progress:)-(GuestOrder,_)``.
    public func makeReady(_ order: GuestOrder) async throws -> ReadyGuest {
        var order = order
        order.definition.startsPaused = true
        return ReadyGuest(order: order, guest: try await make(order))
    }

    /// Runs a guest that was made before there was work for it.
    ///
    /// - Throws: ``VirtualMachineError`` if it isn't there any more; nothing is left of it then.
    public func run(
        _ ready: ReadyGuest,
        progress: @escaping @Sendable (GuestProgress) -> Void = { _ in }
    ) async throws -> GuestOutcome {
        try await attended(ready.order, progress) {
            do {
                try await ready.guest.machine.resume()
                return ready.guest
            } catch {
                await remove(ready)
                throw error
            }
        }
    }

    /// Takes away a guest for which no work came.
    public func remove(_ ready: ReadyGuest) async { await remove(ready.guest) }

    private func attended(
        _ order: GuestOrder,
        _ progress: @escaping @Sendable (GuestProgress) -> Void,
        _ make: @escaping @Sendable () async throws -> Guest
    ) async throws -> GuestOutcome {
        let (events, sink) = AsyncStream.makeStream(of: GuestWatch.Event.self)
        // A task of its own: what must be undone is undone after a cancellation too.
        let work = Task {
            let guest = try await make()
            progress(.starting)
            let outcome = await attend(guest, order, events, sink, progress)
            await remove(guest)
            return outcome
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
            let guest = try await make(order, withheld: order.readableNames ?? [])
            do {
                try await untilItAsks(guest, order)
                try await guest.machine.pause()
                try await guest.machine.saveMemory(to: file)
            } catch {
                await remove(guest)
                throw error
            }
            await remove(guest)
        }
        try await withTaskCancellationHandler {
            try await work.value
        } onCancel: {
            work.cancel()
        }
    }

    private func untilItAsks(_ guest: Guest, _ order: GuestOrder) async throws {
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
    }

    /// A guest with all that belongs to it.
    fileprivate struct Guest: Sendable {
        let machine: any VirtualMachine
        let server: any ArtifactServer
        let network: GuestNetwork
    }

    private func network(_ number: GuestNumber, _ bridge: String) -> GuestNetwork {
        GuestNetwork(transport: transport, number: number, bridge: bridge, user: user)
    }

    /// Makes a guest; if a step fails, nothing is left.
    private func make(_ order: GuestOrder, withheld: Set<String> = []) async throws -> Guest {
        let network = network(order.number, order.bridge)
        try await network.setUp()
        do {
            let server = try await store.serve(configuration(order, withheld))
            do {
                var definition = order.connectedDefinition
                if !machines.capabilities.memoryLimit { definition.memoryLimit = nil }
                let machine = try await machines.start(definition, restoring: order.memory)
                return Guest(machine: machine, server: server, network: network)
            } catch {
                await server.stop()
                throw error
            }
        } catch {
            // By somebody who isn't cancelled.
            await Task { await network.tearDown() }.value
            throw error
        }
    }

    private func remove(_ guest: Guest) async {
        await end(guest.machine)
        await Task {
            await guest.server.stop()
            await guest.network.tearDown()
        }.value
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
            ending: order.ending
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
        case .serving: .serving
        case .ending, .over: nil
        }
    }
}

/// A guest that was made before there was work for it.
public struct ReadyGuest: Sendable {
    /// What it was made by.
    public let order: GuestOrder
    fileprivate let guest: GuestRunner.Guest
}
