import Glibc

/// What an agent works with.
public struct AgentPorts: Sendable {
    /// Runs programs of this machine.
    public var transport: any Transport
    /// Talks to controllers; must be able to post.
    public var fetcher: any Fetcher
    /// Serves files to guests.
    public var store: any ArtifactStore
    /// Keeps machines.
    public var storage: any MachineStorage
    /// Runs them.
    public var machines: any VirtualMachines
    /// Tells the administrator.
    public var mail: any MailSending

    /// Creates ports.
    public init(
        transport: any Transport,
        fetcher: any Fetcher,
        store: any ArtifactStore,
        storage: any MachineStorage,
        machines: any VirtualMachines,
        mail: any MailSending
    ) {
        self.transport = transport
        self.fetcher = fetcher
        self.store = store
        self.storage = storage
        self.machines = machines
        self.mail = mail
    }
}

/// One instance of a toolchain's agent: keeps machines bootstrapped, asks controllers for tasks, builds them (BOT-1 to
/// BOT-4).
public actor BuildAgent {
    let settings: AgentSettings
    let ports: AgentPorts
    let logger: Logger
    let runner: GuestRunner
    let catalog: MachineCatalog
    let locks: MachineLocks
    let client: ControllerClient
    let spool: ResultSpool
    let warmStart: WarmStart
    private(set) var status: AgentStatus
    /// Machines whose memory could not be saved: they are booted for each build.
    private(set) var cold: Set<FilePath> = []
    /// The guest that waits for a task, if there is one.
    var standby: Standby?
    /// The machine of the last build.
    var lastBuilt: FilePath?
    /// Whether a task runs that another may interrupt.
    private var isWatched = false
    /// How many tasks there were.
    private var tasks = 0
    private var pauseOfWatch: Task<Void, Never>?

    /// Creates an agent; ``run()`` sets it to work.
    ///
    /// - Parameters:
    ///   - key: by which controllers know this host.
    ///   - user: who runs the agent, if that isn't root.
    /// - Throws: ``FileError`` if one of its directories can't be made.
    public init(
        _ settings: AgentSettings,
        ports: AgentPorts,
        key: AgentKey?,
        user: String?,
        controllerSettings: ControllerSettings = ControllerSettings(),
        logger: Logger
    ) throws(FileError) {
        self.settings = settings
        self.ports = ports
        self.logger = logger
        let paths = settings.paths
        try FileTree.makeDirectory(paths.runtime)
        runner = GuestRunner(
            transport: ports.transport,
            machines: ports.machines,
            store: ports.store,
            user: user,
            logger: logger
        )
        catalog = MachineCatalog(
            layout: paths.machines,
            toolchain: settings.number.toolchain,
            toolchainID: settings.toolchainID
        )
        locks = try MachineLocks(paths.locks, toolchain: settings.number.toolchain)
        client = ControllerClient(
            fetcher: ports.fetcher,
            transport: ports.transport,
            key: key,
            scratch: paths.runtime,
            settings: controllerSettings
        )
        spool = try ResultSpool(paths.spool)
        warmStart = WarmStart(
            facts: HypervisorFacts(transport: ports.transport),
            storage: ports.storage,
            machines: ports.machines,
            runner: runner,
            settings: settings,
            logger: logger
        )
        status = AgentStatus(
            toolchain: settings.number.toolchain.text,
            instance: settings.number.instance,
            processId: getpid(),
            since: .now
        )
    }

    /// Works until the task is cancelled. A build that runs then is ended and reported as interrupted; nothing of it is left.
    public func run() async {
        publish()
        await cleanUp()
        while !Task.isCancelled {
            let pause = await round()
            await idle(pause)
        }
        await dropStandby()
        enter(.ended, "it was told to end")
    }

    /// Does what there is to do, once.
    ///
    /// - Returns: how long to do nothing now.
    func round() async -> Duration {
        if let drain = DrainRequest.current(settings.paths.drain) {
            await dropStandby()
            enter(.idle, "draining: \(drain.note)")
            return .seconds(5)
        }
        await deliverKept()
        guard !settings.controllers.isEmpty else {
            enter(.idle, "no controller is configured (buildos.controller_url)")
            return .seconds(60)
        }
        let content = catalog.content()
        status.problems = content.problems
        await checkStandby(content)
        if let bootstrapped = await bootstrapNext(content.machines) { return bootstrapped }

        var held = await machinesAtHand(content)
        guard held.contains(where: { $0.role == .build }) else {
            enter(.idle, reasonForNoMachine(content))
            return .seconds(10)
        }
        for held in held where held.role == .build && !cold.contains(held.machine.directory) {
            let isWarm = await warmStart.prepare(held.machine, held.made) {
                await self.dropStandby()
                await self.enter(.bootstrapping, "its memory is saved, for builds to go on from", machine: held.machine)
            }
            if !isWarm { cold.insert(held.machine.directory) }
        }
        await makeStandby(held)
        enter(.asking, nil)
        var generator = SystemRandomNumberGenerator()
        let request = taskRequest(held)
        let answer: ControllerRound
        do {
            answer = try await client.task(
                fromAny: settings.controllers,
                whileRunning: runningPriorities(),
                for: request,
                using: &generator
            )
        } catch { return .zero }
        switch answer {
        case .nothing(let reasons):
            enter(
                .idle,
                reasons.isEmpty
                    ? "a task of a higher priority runs" : reasons.map(\.description).joined(separator: "; ")
            )
            return client.pollPause(using: &generator)
        case .task(let assignment, let controller):
            let task = assignment.task
            guard let chosen = held.first(where: { $0.name == task.machine && $0.role == .build }) else {
                enter(.idle, "\(controller.url): its task is for a machine that was not offered to it")
                return client.pollPause(using: &generator)
            }
            // The others are free for the other instances.
            held = held.filter { $0.role == .auxiliary && task.auxiliaryMachines.values.contains($0.name) }
            var next: Offer? = (assignment, controller)
            while let offer = next { next = await build(offer, in: chosen, beside: held) }
            return .zero
        }
    }

    /// The machines that can be used now, locked. Auxiliary machines are of no use alone.
    private func machinesAtHand(_ content: MachineCatalog.Content) async -> [HeldMachine] {
        var held: [HeldMachine] = []
        for machine in content.machines {
            guard case .ready(let made) = machine.readiness, canHave(made.machine.header) else { continue }
            if let own = standby?.held, own.machine == machine {
                held.append(own)
            } else if let lock = try? locks.take(machine), await hasRoom(machine) {
                held.append(HeldMachine(machine: machine, made: made, lock: lock))
            }
        }
        return held
    }

    /// Whether there is RAM for a machine; if there isn't, the status says so.
    func canHave(_ header: MachineHeader) -> Bool {
        guard header.role == .auxiliary,
            let obstacle = AuxiliaryMemory.obstacle(to: header, in: settings.auxiliaryMemory)
        else { return true }
        if !status.problems.contains("\(obstacle)") { status.problems.append("\(obstacle)") }
        return false
    }

    /// What controllers are told of this host and its machines.
    func taskRequest(_ machines: [HeldMachine]) -> TaskRequest {
        var request = TaskRequest(
            agent: settings.host,
            toolchainName: settings.number.toolchain,
            toolchainVersion: settings.toolchainVersion,
            machines: machines.map(\.made.machine.header),
            // Without any, no machine is offered that would need some, and a zero is nothing that controllers know.
            auxiliaryRAM: settings.auxiliaryMemory.kibibytes > 0 ? settings.auxiliaryMemory : nil
        )
        request.interactiveMode = settings.interactiveMode
        if settings.interactiveMode != .no { request.interactiveLogin = settings.interactiveLogin }
        return request
    }

    // MARK: Watch for tasks that may interrupt

    func beginWatch() { isWatched = true }

    func endWatch() {
        isWatched = false
        pauseOfWatch?.cancel()
    }

    /// Waits, but not beyond the end of the watch.
    ///
    /// - Returns: whether the watch goes on.
    func watchPause(_ duration: Duration) async -> Bool {
        guard isWatched, !Task.isCancelled else { return false }
        let pause = Task { () -> Void in try? await Task.sleep(for: duration) }
        pauseOfWatch = pause
        await withTaskCancellationHandler {
            await pause.value
        } onCancel: {
            pause.cancel()
        }
        return isWatched && !Task.isCancelled
    }

    /// Waits, but not for long once a drain was asked for or taken back, or the machine of the guest that waits is changed
    /// or to be removed.
    private func idle(_ pause: Duration) async {
        let clock = ContinuousClock()
        let end = clock.now + pause
        let wasDraining = DrainRequest.current(settings.paths.drain) != nil
        while clock.now < end, !Task.isCancelled {
            try? await Task.sleep(for: min(.seconds(2), end - clock.now))
            if (DrainRequest.current(settings.paths.drain) != nil) != wasDraining || isStandbyOutdated { return }
        }
    }

    // MARK: Status

    func enter(_ activity: AgentStatus.Activity, _ reason: String?, machine: BuildMachine? = nil) {
        if activity == .idle, status.reason != reason { logger.info("idle: \(reason ?? "")") }
        if status.activity != activity || status.reason != reason { status.since = .now }
        status.activity = activity
        status.reason = reason
        status.machine = machine?.name.text
        if activity != .building && activity != .holding { status.task = nil }
        publish()
    }

    /// Takes note of a task that begins.
    ///
    /// - Returns: its number.
    func begin(_ task: BuildTask, of controller: Controller) -> Int {
        tasks += 1
        status.task = AgentStatus.Task(
            name: task.name,
            version: task.version,
            controller: controller.description,
            number: tasks
        )
        return tasks
    }

    func count(_ result: BuildResult) {
        status.results[result.status.rawValue, default: 0] += 1
        status.last = AgentStatus.Done(
            name: result.name,
            version: result.version,
            status: result.status.rawValue,
            at: .now
        )
    }

    private func publish() {
        do { try status.write(to: settings.paths.status) } catch { logger.error("\(error)") }
    }

    func show(_ progress: GuestProgress, _ machine: BuildMachine, _ activity: AgentStatus.Activity) {
        switch progress {
        case .waitingForAuxiliaries: enter(activity, "its auxiliary machines start", machine: machine)
        case .preparing: enter(activity, "the machine is being made", machine: machine)
        case .starting: enter(activity, "the machine starts", machine: machine)
        case .working, .serving: enter(activity, "the machine works", machine: machine)
        case .closing: enter(activity, "the machine has delivered", machine: machine)
        case .held(let outcome):
            enter(.holding, "\(outcome); the machine is suspended for somebody to log in", machine: machine)
        }
    }

    private func reasonForNoMachine(_ content: MachineCatalog.Content) -> String {
        if content.machines.isEmpty {
            return content.problems.isEmpty
                ? "there is no machine (buildosctl machine add)" : "no machine can be used: \(content.problems[0])"
        }
        if let waiting = content.machines.first(where: {
            if case .needsBootstrap = $0.readiness { true } else { false }
        }),
            let note = BootstrapFailures.read(locks.failureNote(waiting), subject: bootstrapSubject(waiting))
        {
            return "machine \(waiting.name) can't be bootstrapped (\(note.reason)); next try at \(note.nextTry)"
        }
        if let full = status.problems.first(where: { $0.contains("room") }) { return full }
        return "every machine is in use by another instance, or being bootstrapped"
    }

    private func hasRoom(_ machine: BuildMachine) async -> Bool {
        guard let space = try? await ports.storage.space(of: machine.directory) else { return true }
        guard space.available < settings.minimumRoom else { return true }
        status.problems.append(
            "\(machine.directory.removingLastComponent()): \(space.available >> 20) MiB are left, "
                + "\(settings.minimumRoom >> 20) MiB of room are needed for a build"
        )
        return false
    }

    func runningPriorities() -> [ControllerPriority] { othersAtBuild().compactMap(\.task?.priority) }

    /// The other instances of this host that build.
    func othersAtBuild() -> [AgentStatus] {
        AgentStatus.all(in: settings.paths.status)
            .filter { $0.toolchain != status.toolchain || $0.instance != status.instance }
            .filter { $0.activity == .building && kill($0.processId, 0) == 0 }
    }

    func bootstrapSubject(_ machine: BuildMachine) -> String {
        "\(machine.manifest.header.id) \(settings.toolchainID)"
    }
}
