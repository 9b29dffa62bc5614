/// Runs a ``MonitorMachine``: gives it events and the time, does what it says, and shows its status.
///
/// Effects run side by side, each in a task of its own, and answer with an event. All of them end when the task that
/// runs ``run()`` is cancelled: programs they started are ended with their children.
public actor MonitorEngine<C: Clock> where C.Duration == Duration {
    private var machine: MonitorMachine
    private let ports: MonitorPorts
    private let clock: C
    private let origin: C.Instant
    private let wallClock: @Sendable () -> Timestamp
    private let context: StatusContext
    private let heartbeat: Duration
    private let logger: Logger
    private let events: AsyncStream<MonitorEvent>
    private let inbox: AsyncStream<MonitorEvent>.Continuation
    private var timer: (due: MonitorInstant, task: Task<Void, Never>)?
    private var lastWrite: MonitorInstant = .start
    private var mails: [HostStatus.Mail] = []

    /// How often a mail is tried, and how long is waited between two tries.
    private let mailTries = 5
    private let mailWait: Duration = .seconds(30)
    /// How many mails the status remembers.
    private let mailMemory = 20

    /// Creates an engine that doesn't run yet.
    ///
    /// - Parameters:
    ///   - clock: a clock that doesn't jump.
    ///   - wallClock: the calendar, for the status alone.
    ///   - heartbeat: the status is written at least this often.
    public init(
        machine: MonitorMachine,
        ports: MonitorPorts,
        context: StatusContext,
        clock: C,
        wallClock: @escaping @Sendable () -> Timestamp = { .now },
        heartbeat: Duration = .seconds(30),
        logger: Logger
    ) {
        self.machine = machine
        self.ports = ports
        self.context = context
        self.clock = clock
        self.wallClock = wallClock
        self.heartbeat = heartbeat
        self.logger = logger
        origin = clock.now
        (events, inbox) = AsyncStream.makeStream()
    }

    /// Runs until the task is cancelled.
    ///
    /// - Parameter reports: what the host's set-up left to be reported.
    public func run(reports: [Trouble] = []) async {
        await withDiscardingTaskGroup { group in
            take(.started(reports: reports), in: &group)
            for await event in events { take(event, in: &group) }
            timer?.task.cancel()
            group.cancelAll()
        }
        _ = machine.handle(.stopping, at: now)
        writeStatus()
        logger.info("the monitor was stopped")
    }

    private var now: MonitorInstant { MonitorInstant(sinceStart: origin.duration(to: clock.now)) }

    private func take(_ event: MonitorEvent, in group: inout DiscardingTaskGroup) {
        let before = machine
        for effect in machine.handle(event, at: now) {
            group.addTask { await self.perform(effect) }
        }
        log(from: before)
        if machine != before || lastWrite.duration(to: now) >= heartbeat { writeStatus() }
        arm()
    }

    /// Sees to it that the next tick comes when the machine wants it, and in time for the heartbeat.
    private func arm() {
        let beat = lastWrite.advanced(by: heartbeat)
        let due = min(machine.nextWake ?? beat, beat)
        if let timer, timer.due == due, due > now { return }
        timer?.task.cancel()
        let deadline = origin.advanced(by: due.sinceStart)
        let task = Task { [clock, inbox] in
            do { try await clock.sleep(until: deadline, tolerance: nil) } catch { return }
            inbox.yield(.tick)
        }
        timer = (due, task)
    }

    private func perform(_ effect: MonitorEffect) async {
        switch effect {
        case .mail(let mail): await send(mail)
        case .announce(let mail, let id):
            if let id {
                do { try await ports.host.note(rebootFor: id) } catch {
                    logger.error("can't note the reboot: \(error)")
                }
            }
            await send(mail, tries: 1)
            await ports.mail.flush()
            inbox.yield(.announced)
        default:
            if let event = await ports.perform(effect, toolchains: machine.settings.toolchains) { inbox.yield(event) }
        }
    }

    private func send(_ mail: MonitorMail, tries: Int? = nil) async {
        let text = mail.rendered(host: context.host, buildID: machine.settings.runningBuildID)
        let tries = tries ?? mailTries
        for attempt in 1...tries {
            do {
                try await ports.mail.send(text)
                remember(mail, problem: nil)
                logger.info("mailed: \(mail.subject)")
                return
            } catch {
                logger.error("can't mail '\(mail.subject)': \(error)")
                if attempt == tries { remember(mail, problem: "\(error)") }
            }
            if attempt < tries {
                do { try await clock.sleep(until: clock.now.advanced(by: mailWait), tolerance: nil) } catch { return }
            }
        }
    }

    private func remember(_ mail: MonitorMail, problem: String?) {
        mails.append(HostStatus.Mail(at: wallClock(), subject: mail.subject, problem: problem))
        mails.removeFirst(max(0, mails.count - mailMemory))
        writeStatus()
    }

    private func writeStatus() {
        lastWrite = now
        let status = HostStatus(
            machine,
            context,
            at: now,
            wallClock: wallClock(),
            heartbeat: heartbeat,
            mails: mails
        )
        do { try ports.status.publish(status) } catch { logger.error("can't write the status: \(error)") }
    }

    private func log(from before: MonitorMachine) {
        if machine.phase != before.phase {
            let reason = machine.phase.reason.map { " (\($0))" } ?? ""
            logger.notice("host: \(machine.phase.name)\(reason)")
        }
        for (old, new) in zip(before.toolchains, machine.toolchains) {
            if new.phase.name != old.phase.name || new.phase.failure != old.phase.failure {
                if let failure = new.phase.failure {
                    let wait = now.duration(to: failure.nextTry).inWords
                    logger.error("\(new.subject): \(new.phase.name): \(failure.trouble.cause); next try in \(wait)")
                } else {
                    let version = new.phase.synced.map { " \($0.version)" } ?? ""
                    logger.notice("\(new.subject): \(new.phase.name)\(version)")
                }
            }
            if case .rejected(_, let failure) = new.update, new.update != old.update {
                logger.error("\(new.subject): update rejected: \(failure.trouble.cause)")
            }
        }
    }
}
