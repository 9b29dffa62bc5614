import Synchronization

/// Builds one task in a one-shot guest: a snapshot of the bootstrapped machine, removed whatever happens (BOT-2).
struct TaskBuild: Sendable {
    let runner: GuestRunner
    let storage: any MachineStorage
    let transport: any Transport
    let settings: AgentSettings
    let warmStart: WarmStart
    let logger: Logger

    /// What came of it.
    struct Report: Sendable {
        var result: BuildResult
        /// Whether the agent was told to end in the middle.
        var isInterrupted = false
    }

    /// Builds. To be called with the machine's lock.
    ///
    /// - Parameters:
    ///   - isBoosted: whether the guest gets all CPUs of the host.
    ///   - upload: called with the files that the worker packed, before the snapshot goes.
    func run(
        _ assignment: TaskResponse.Assignment,
        in machine: BuildMachine,
        _ made: BootstrappedManifest,
        isBoosted: Bool,
        progress: @escaping @Sendable (GuestProgress) -> Void,
        upload: @Sendable (FilePath) async -> Void
    ) async -> Report {
        let task = assignment.task
        let watch = StartWatch()
        do {
            var attempt = 0
            while true {
                // What went on from saved memory and stayed silent gets a second chance without it.
                let isWarm = settings.startsWarm && attempt == 0 && !isBoosted
                let snapshot = machine.temporary(settings.number)
                try await storage.snapshot(
                    machine.bootstrapped(settings.number.toolchain),
                    to: snapshot,
                    readOnly: false
                )
                do {
                    let exchange = GuestExchange(in: snapshot)
                    let order = try await order(assignment, made, snapshot, exchange, isBoosted, isWarm)
                    let outcome = try await runner.run(order) { step in
                        if step == .working, let time = watch.read() {
                            let origin = order.memory == nil ? "a boot" : "saved memory"
                            logger.notice("task \(task.name)/\(task.version): at work after \(time), from \(origin)")
                        }
                        progress(step)
                    }
                    if case .neverCalled(let reason) = outcome, attempt < settings.retries {
                        logger.warning("task \(task.name)/\(task.version): the machine \(reason); it is started again")
                        attempt += 1
                        await discard(snapshot)
                        continue
                    }
                    let report = await report(outcome, task, exchange, upload)
                    await discard(snapshot)
                    return report
                } catch {
                    await discard(snapshot)
                    // Saved memory that can't be restored is no reason not to build.
                    if order(isWarm, failedFor: error) {
                        logger.warning("machine \(machine.name): its saved memory can't be used: \(error)")
                        if (error as? VirtualMachineError)?.kind == .badSnapshot { await warmStart.discard(machine) }
                        attempt += 1
                        continue
                    }
                    throw error
                }
            }
        } catch is CancellationError {
            return Report(result: .ofAgent(task, .interrupt, "the agent was told to end"), isInterrupted: true)
        } catch {
            logger.error("task \(task.name)/\(task.version): \(error)")
            return Report(result: .ofAgent(task, .abort, "the build host could not start the machine: \(error)"))
        }
    }

    private func order(_ isWarm: Bool, failedFor error: any Error) -> Bool {
        guard isWarm, let error = error as? VirtualMachineError else { return false }
        return error.kind == .badSnapshot || error.kind == .cannotStart
    }

    private func order(
        _ assignment: TaskResponse.Assignment,
        _ made: BootstrappedManifest,
        _ snapshot: FilePath,
        _ exchange: GuestExchange,
        _ isBoosted: Bool,
        _ isWarm: Bool
    ) async throws -> GuestOrder {
        try exchange.make()
        let task = assignment.task.forWorker(
            trusted: settings.controllerTrust,
            keepsChecksums: assignment.agentChecksum == AgentSettings.agentChecksum
        )
        // It goes with the snapshot, after a crash too.
        try FileTree.write(
            try ManifestSerializer.serialize([task]),
            to: exchange.get.appending(Self.taskName),
            durably: false
        )
        var order = try Self.order(made, snapshot, exchange, settings, isBoosted: isBoosted)
        if isWarm { order.memory = await warmStart.memory(in: snapshot, for: order) }
        // A worker that waits for an answer already asks again at once, or never.
        if order.memory != nil { order.limits.startUp = min(order.limits.startUp, .seconds(30)) }
        return order
    }

    /// What the worker asks for first.
    static let taskName = "task.manifest"

    /// The guest of a build, or of what is to become one.
    static func order(
        _ made: BootstrappedManifest,
        _ snapshot: FilePath,
        _ exchange: GuestExchange,
        _ settings: AgentSettings,
        isBoosted: Bool
    ) throws -> GuestOrder {
        var resources = settings.resources
        if isBoosted { resources.cpus = settings.hostCPUs }
        return GuestOrder(
            number: settings.number,
            bridge: settings.bridge.rawValue,
            definition: try made.machine.definition(
                name: settings.number.virtualMachine,
                in: snapshot,
                resources: resources,
                runtimeDirectory: settings.paths.runtime
            ),
            macAddress: made.machine.macAddress ?? .random(),
            readRoot: exchange.get,
            readableNames: [taskName],
            uploads: exchange.uploads(WorkerResult.names),
            awaited: WorkerResult.awaited,
            limits: settings.buildLimits,
            keepsDisk: false
        )
    }

    private func report(
        _ outcome: GuestOutcome,
        _ task: BuildTask,
        _ exchange: GuestExchange,
        _ upload: @Sendable (FilePath) async -> Void
    ) async -> Report {
        switch outcome {
        case .delivered:
            do {
                let result = try await WorkerResult(transport: transport).read(exchange.put, of: task)
                let archive = exchange.put.appending(WorkerResult.uploadName)
                if FileTree.exists(archive) { await upload(archive) }
                return Report(result: result)
            } catch {
                return Report(result: .ofAgent(task, .abnormal, "the worker's result can't be read: \(error)"))
            }
        case .interrupted:
            return Report(result: .ofAgent(task, .interrupt, "the agent was told to end"), isInterrupted: true)
        case .neverCalled(let reason):
            return Report(
                result: .ofAgent(task, .abort, described("the machine never asked for its task: \(reason)", exchange))
            )
        case .died(let reason):
            return Report(
                result: .ofAgent(task, .abnormal, described("the machine ended in the middle: \(reason)", exchange))
            )
        case .overdue:
            let limit = settings.buildLimits.work
            return Report(
                result: .ofAgent(task, .abnormal, described("the build was not done within \(limit)", exchange))
            )
        }
    }

    private func described(_ reason: String, _ exchange: GuestExchange) -> String {
        let console = exchange.consoleEnd()
        return console.isEmpty ? reason : "\(reason)\nthe machine's console ended with:\n\(console)"
    }

    private func discard(_ snapshot: FilePath) async {
        await Task {
            do { try await storage.delete(snapshot) } catch {
                logger.error("\(snapshot): the temporary snapshot can't be removed: \(error)")
            }
        }.value
    }
}

/// The time from a task's coming to the first request of its worker, read once.
private final class StartWatch: Sendable {
    private let start = ContinuousClock.now
    private let isRead = Mutex(false)

    /// The time so far, in whole milliseconds; `nil` if it was read before.
    func read() -> String? {
        let wasRead = isRead.withLock { isRead in
            defer { isRead = true }
            return isRead
        }
        return wasRead ? nil : "\(Int((ContinuousClock.now - start) / .milliseconds(1))) ms"
    }
}
