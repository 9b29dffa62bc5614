import Synchronization

/// The auxiliary machines of a task: one-shot guests that run beside its build, from before it begins until it is over
/// (BOT-2; build2-facts, 3).
struct AuxiliaryGuests: Sendable {
    let runner: GuestRunner
    let storage: any MachineStorage
    let settings: AgentSettings
    let logger: Logger

    /// One of them was not to be had, or ended before the build did.
    struct Failure: DiagnosableError, Hashable {
        let machine: String
        let outcome: GuestOutcome
        /// Whether it was there when the build began.
        let wasReady: Bool

        var subject: String { "auxiliary machine '\(machine)'" }
        var cause: String { outcome.description }
        var remedy: String? { "see the machine's console in the log of the agent" }
    }

    /// One machine as a task wants it.
    struct Wanted: Sendable {
        /// What its environment's names begin with.
        let key: String
        let held: HeldMachine
        let number: GuestNumber
        let memory: MemorySize
        let macAddress: MACAddress
    }

    private enum Step<Result: Sendable>: Sendable {
        case ended(Failure)
        case done(Result)
    }

    private struct Ready: Sendable {
        let key: String
        let lines: Swift.Result<[String], any Error>
    }

    /// The machines that a task wants, of those at hand.
    ///
    /// - Throws: ``MachineTooLarge`` if there is not enough RAM for all of them; ``Missing``.
    func wanted(by task: BuildTask, of held: [HeldMachine]) throws -> [Wanted] {
        let pairs = try task.auxiliaryMachines.sorted { $0.key < $1.key }.map { key, name in
            guard let machine = held.first(where: { $0.name == name && $0.role == .auxiliary }) else {
                throw Missing(name: name)
            }
            return (key: key, held: machine)
        }
        let shares = try AuxiliaryMemory.shares(
            of: settings.auxiliaryMemory,
            among: pairs.map(\.held.made.machine.header)
        )
        var taken: Set<MACAddress> = []
        return zip(zip(pairs, settings.number.auxiliaries), shares).map { pair, memory in
            let (wanted, number) = pair
            // A task may want one machine several times: they are on one bridge.
            let own = wanted.held.made.machine.macAddress.flatMap { taken.insert($0).inserted ? $0 : nil }
            return Wanted(
                key: wanted.key,
                held: wanted.held,
                number: number,
                memory: memory,
                macAddress: own ?? .random()
            )
        }
    }

    /// A machine that was not at hand.
    struct Missing: DiagnosableError, Hashable {
        let name: String
        var subject: String { "auxiliary machine '\(name)'" }
        var cause: String { "it is not at hand" }
        var remedy: String? { nil }
    }

    /// Starts all of them at once, and hands their environment over once all are ready.
    ///
    /// - Throws: ``Failure`` if one of them is not to be had or ends early: the body is cancelled then; ``ManifestError`` if
    ///   what one says of itself makes no sense; errors of storage, network and hypervisor for faults of this host; what
    ///   the body throws.
    func run<Result: Sendable>(
        _ machines: [Wanted],
        _ body: @escaping @Sendable (_ environment: String) async throws -> Result
    ) async throws -> Result {
        let (ready, sink) = AsyncStream.makeStream(of: Ready.self)
        return try await withThrowingTaskGroup(of: Step<Result>.self) { group in
            for machine in machines {
                group.addTask {
                    let failure = try await serve(machine, sink)
                    return .ended(failure)
                }
            }
            group.addTask {
                let environment = try await environment(of: machines.count, ready)
                let result = try await body(environment)
                return .done(result)
            }
            defer { group.cancelAll() }
            guard let first = try await group.next() else { throw CancellationError() }
            switch first {
            case .done(let result): return result
            case .ended(let failure):
                // Told to end, all of them end.
                try Task.checkCancellation()
                throw failure
            }
        }
    }

    /// What all machines together have to say, once they are ready.
    private func environment(of count: Int, _ ready: AsyncStream<Ready>) async throws -> String {
        var lines: [String: [String]] = [:]
        for await machine in ready {
            lines[machine.key] = try machine.lines.get()
            if lines.count == count { break }
        }
        try Task.checkCancellation()
        return lines.sorted { $0.key < $1.key }.flatMap(\.value).joined(separator: "\n")
    }

    /// Runs one until it is cancelled, or ends by itself.
    private func serve(_ wanted: Wanted, _ ready: AsyncStream<Ready>.Continuation) async throws -> Failure {
        let name = wanted.held.name
        let wasReady = Mutex(false)
        var attempt = 0
        while true {
            let snapshot = wanted.held.machine.temporary(settings.number)
            let exchange = GuestExchange(in: snapshot)
            try await storage.snapshot(
                wanted.held.machine.bootstrapped(settings.number.toolchain),
                to: snapshot,
                readOnly: false
            )
            let outcome: GuestOutcome
            do {
                try exchange.make()
                outcome = try await runner.run(try order(wanted, snapshot, exchange)) { step in
                    guard step == .serving else { return }
                    wasReady.withLock { $0 = true }
                    logger.notice("auxiliary machine \(name): ready")
                    ready.yield(Ready(key: wanted.key, lines: Result { try lines(of: wanted, exchange) }))
                }
            } catch {
                await storage.discard(snapshot, logger)
                throw error
            }
            if outcome != .interrupted, case let console = exchange.consoleEnd(), !console.isEmpty {
                logger.notice("auxiliary machine \(name): its console ended with:\n\(console)")
            }
            await storage.discard(snapshot, logger)
            guard case .neverCalled(let reason) = outcome, attempt < settings.retries else {
                return Failure(machine: name, outcome: outcome, wasReady: wasReady.withLock { $0 })
            }
            attempt += 1
            logger.warning("auxiliary machine \(name): \(reason); it is started again")
        }
    }

    private func lines(of wanted: Wanted, _ exchange: GuestExchange) throws -> [String] {
        let file = exchange.put.appending(AuxiliaryEnvironment.fileName)
        let text = try FileTree.readText(file, limit: AuxiliaryEnvironment.maximumBytes)
        return try AuxiliaryEnvironment.lines(text, key: wanted.key, source: "environment of \(wanted.held.name)")
    }

    private func order(_ wanted: Wanted, _ snapshot: FilePath, _ exchange: GuestExchange) throws -> GuestOrder {
        var resources = settings.resources
        resources.memory = wanted.memory
        let runtime = settings.paths.runtime(of: wanted.number)
        try FileTree.makeDirectory(runtime)
        return GuestOrder(
            number: wanted.number,
            bridge: settings.bridge.rawValue,
            definition: try wanted.held.made.machine.definition(
                name: wanted.number.virtualMachine,
                in: snapshot,
                resources: resources,
                runtimeDirectory: runtime
            ),
            macAddress: wanted.macAddress,
            readRoot: exchange.get,
            uploads: exchange.uploads([AuxiliaryEnvironment.fileName]),
            awaited: [AuxiliaryEnvironment.fileName],
            limits: settings.auxiliaryLimits,
            ending: .serve
        )
    }
}
