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

    /// A task, and what it is built with.
    struct Job: Sendable {
        let assignment: TaskResponse.Assignment
        let machine: HeldMachine
        /// Those at hand; the task may want some of them, or none.
        let auxiliaries: [HeldMachine]
        /// Whether the guest gets all CPUs of the host.
        let isBoosted: Bool
        /// A guest of the machine that waits for such a task.
        let standby: Standby?

        var task: BuildTask { assignment.task }
    }

    /// Who is told what while it is built.
    struct Audience: Sendable {
        let progress: @Sendable (GuestProgress) -> Void
        /// Called with the files that the worker packed, before the snapshot goes.
        let upload: @Sendable (FilePath) async -> Void
    }

    /// Builds, with the auxiliary machines that the task wants.
    func run(_ job: Job, _ audience: Audience) async -> Report {
        let task = job.task
        let watch = StartWatch()
        do {
            guard !task.auxiliaryMachines.isEmpty else { return try await build(job, nil, audience, watch) }
            let guests = AuxiliaryGuests(runner: runner, storage: storage, settings: settings, logger: logger)
            let wanted = try guests.wanted(by: task, of: job.auxiliaries)
            audience.progress(.waitingForAuxiliaries)
            return try await guests.run(wanted) { environment in
                try await build(job, environment, audience, watch)
            }
        } catch is CancellationError {
            return Report(result: .ofAgent(task, .interrupt, "the agent was told to end"), isInterrupted: true)
        } catch let failure as AuxiliaryGuests.Failure {
            logger.error("task \(task.name)/\(task.version): \(failure)")
            let status: ResultStatus = failure.wasReady ? .abnormal : .abort
            return Report(result: .ofAgent(task, status, "\(failure.subject): \(failure.cause)"))
        } catch {
            logger.error("task \(task.name)/\(task.version): \(error)")
            return Report(result: .ofAgent(task, .abort, "the build host could not start the machine: \(error)"))
        }
    }

    private func build(
        _ job: Job,
        _ environment: String?,
        _ audience: Audience,
        _ watch: StartWatch
    ) async throws -> Report {
        let (task, machine) = (job.task, job.machine.machine)
        var attempt = 0
        while true {
            // What went on from saved memory and stayed silent gets a second chance without it.
            let isWarm = settings.startsWarm && attempt == 0 && !job.isBoosted
            let standby = attempt == 0 ? job.standby : nil
            var stage = if let standby { standby.stage } else { try await stage(job.machine, job.isBoosted, isWarm) }
            do {
                try write(job, environment, to: stage.exchange)
                if task.interactive != nil { stage.order.makeInteractive() }
                let origin = stage.order.memory == nil ? "a boot" : "saved memory"
                let show: @Sendable (GuestProgress) -> Void = { step in
                    if step == .working, let time = watch.read() {
                        logger.notice("task \(task.name)/\(task.version): at work after \(time), from \(origin)")
                    }
                    audience.progress(step)
                }
                let outcome: GuestOutcome
                if let standby {
                    outcome = try await runner.run(standby.guest, progress: show)
                } else {
                    outcome = try await runner.run(stage.order, progress: show)
                }
                if case .neverCalled(let reason) = outcome, attempt < settings.retries {
                    logger.warning("task \(task.name)/\(task.version): the machine \(reason); it is started again")
                    attempt += 1
                    await storage.discard(stage.snapshot, logger)
                    continue
                }
                let report = await report(outcome, task, stage, audience.upload)
                await storage.discard(stage.snapshot, logger)
                return report
            } catch {
                await storage.discard(stage.snapshot, logger)
                // Saved memory that can't be restored is no reason not to build.
                guard isWarm, let error = error as? VirtualMachineError, error.isOfSavedMemory || standby != nil else {
                    throw error
                }
                logger.warning("machine \(machine.name): its saved memory can't be used: \(error)")
                if error.kind == .badSnapshot { await warmStart.discard(machine) }
                attempt += 1
            }
        }
    }

    /// A snapshot of the machine, and what is to run in it.
    func stage(_ held: HeldMachine, _ isBoosted: Bool, _ isWarm: Bool) async throws -> Stage {
        let snapshot = held.machine.temporary(settings.number)
        try await storage.snapshot(
            held.machine.bootstrapped(settings.number.toolchain),
            to: snapshot,
            readOnly: false
        )
        do {
            let exchange = GuestExchange(in: snapshot)
            try exchange.make()
            var order = try Self.order(held.made, snapshot, exchange, settings, isBoosted: isBoosted)
            if isWarm { order.memory = await warmStart.memory(in: snapshot, for: order) }
            // A worker that waits for an answer already asks again at once, or never.
            if order.memory != nil { order.limits.startUp = min(order.limits.startUp, .seconds(30)) }
            return Stage(snapshot: snapshot, exchange: exchange, order: order)
        } catch {
            await storage.discard(snapshot, logger)
            throw error
        }
    }

    private func write(_ job: Job, _ environment: String?, to exchange: GuestExchange) throws {
        let task = job.task.forWorker(
            trusted: settings.controllerTrust,
            keepsChecksums: job.assignment.agentChecksum == AgentSettings.agentChecksum,
            auxiliaryEnvironment: environment
        )
        // It goes with the snapshot, after a crash too.
        try FileTree.write(
            try ManifestSerializer.serialize([task]),
            to: exchange.get.appending(Self.taskName),
            durably: false
        )
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
            ending: .kill
        )
    }

    private func report(
        _ outcome: GuestOutcome,
        _ task: BuildTask,
        _ stage: Stage,
        _ upload: @Sendable (FilePath) async -> Void
    ) async -> Report {
        let exchange = stage.exchange
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
            return Report(
                result: .ofAgent(
                    task,
                    .abnormal,
                    described("the build was not done within \(stage.order.limits.work)", exchange)
                )
            )
        }
    }

    private func described(_ reason: String, _ exchange: GuestExchange) -> String {
        let console = exchange.consoleEnd()
        return console.isEmpty ? reason : "\(reason)\nthe machine's console ended with:\n\(console)"
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
