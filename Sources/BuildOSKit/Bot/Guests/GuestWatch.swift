/// How long a guest may take for what (BOT-4).
public struct GuestLimits: Sendable, Hashable {
    /// From its start to its first request.
    public var startUp: Duration
    /// From its first request to its last file.
    public var work: Duration
    /// From the power button to its end.
    public var shutdown: Duration
    /// How long it must ask for nothing, after the file that is waited for has come, to be done; zero if that file is the
    /// last there is.
    public var quiet: Duration
    /// For how long a guest that failed is kept, suspended, for an operator to log in; `nil` for not at all.
    public var hold: Duration?

    /// Creates limits.
    public init(
        startUp: Duration,
        work: Duration,
        shutdown: Duration = .seconds(300),
        quiet: Duration = .seconds(2),
        hold: Duration? = nil
    ) {
        self.startUp = startUp
        self.work = work
        self.shutdown = shutdown
        self.quiet = quiet
        self.hold = hold
    }

    /// Those of a bootstrap, as the original agent has them (build2-facts, 2.10).
    public static let bootstrap = GuestLimits(startUp: .seconds(300), work: .seconds(3600))
    /// Those of an auxiliary machine, until it can be used: what it does until then is nobody's business, so its first
    /// request may be its last.
    public static let auxiliary = GuestLimits(startUp: .seconds(900), work: .seconds(900))
    /// How long a build may take that waits for somebody who is logged in: a controller waits for three hours
    /// (build2-facts, 2.8).
    public static let interactiveWork = Duration.seconds(10_200)
    /// Those of a build: its result is the last that a worker hands over (build2-facts, 3).
    public static let build = GuestLimits(startUp: .seconds(240), work: .seconds(5400), quiet: .zero)
}

/// How the work with a guest came out.
public enum GuestOutcome: Sendable, Hashable, CustomStringConvertible {
    /// The file that was waited for came.
    case delivered
    /// It never asked for anything: a fault of the machine or of this host, worth another try.
    case neverCalled(String)
    /// It began to work and ended, or panicked, before the file came.
    case died(String)
    /// It worked for longer than it may.
    case overdue
    /// It was ended because somebody asked for that.
    case interrupted

    public var description: String {
        switch self {
        case .delivered: "done"
        case .neverCalled(let reason): "it never asked for anything: \(reason)"
        case .died(let reason): "it ended in the middle of its work: \(reason)"
        case .overdue: "it did not end its work in time"
        case .interrupted: "interrupted"
        }
    }
}

/// What becomes of a guest that has delivered.
public enum GuestEnding: Sendable, Hashable {
    /// Its power button is pressed: its disk is kept.
    case powerDown
    /// It is ended at once: its disk is thrown away.
    case kill
    /// It goes on until it is interrupted: others make use of it.
    case serve
}

/// The course of one guest, decided without doing anything: what happened goes in, what is to be done comes out.
///
/// Times count from the guest's start.
struct GuestWatch: Sendable, Hashable {
    /// What can happen.
    enum Event: Sendable, Hashable {
        case transfer(ArtifactTransfer)
        case ended(VirtualMachineExit)
        case panicked
        case interrupted
        /// Time has passed.
        case tick
    }

    /// What is to be done.
    enum Action: Sendable, Hashable {
        /// Press the power button.
        case powerDown
        /// Stop its CPUs, for somebody to look at it.
        case suspend
        /// End it at once.
        case kill
        /// It is over; nothing further happens.
        case finish(GuestOutcome)
    }

    /// How far it is.
    enum Phase: Sendable, Hashable {
        case starting
        case working(since: Duration)
        /// The file has come; requests may follow.
        case settling(lastRequest: Duration)
        /// It is there for others.
        case serving
        case shuttingDown(GuestOutcome, since: Duration)
        /// It failed and is suspended; who looks at it may let it run on.
        case held(GuestOutcome, since: Duration)
        /// Told to end at once.
        case ending(GuestOutcome)
        case over
    }

    private let limits: GuestLimits
    private let awaited: Set<String>
    private let ending: GuestEnding
    private(set) var phase = Phase.starting

    /// - Parameter awaited: the names of files of which one must be written for the work to be done.
    init(limits: GuestLimits, awaited: Set<String>, ending: GuestEnding) {
        self.limits = limits
        self.awaited = awaited
        self.ending = ending
    }

    /// Takes note of an event.
    ///
    /// - Parameter now: the time since the guest's start.
    mutating func handle(_ event: Event, at now: Duration) -> [Action] {
        switch event {
        case .transfer(let transfer): handle(transfer, now)
        case .ended(let exit): ended(exit)
        case .panicked: panicked(now)
        case .interrupted: kill(phase.heldOutcome ?? .interrupted)
        case .tick: tick(now)
        }
    }

    /// When ``Event/tick`` can make a difference next; `nil` if it can't.
    var nextTick: Duration? {
        switch phase {
        case .starting: limits.startUp
        case .working(let since): since + limits.work
        case .settling(let last): last + limits.quiet
        case .shuttingDown(_, let since): since + limits.shutdown
        case .held(_, let since): limits.hold.map { since + $0 }
        case .serving, .ending, .over: nil
        }
    }

    private mutating func handle(_ transfer: ArtifactTransfer, _ now: Duration) -> [Action] {
        switch phase {
        case .starting: phase = .working(since: now)
        case .settling: phase = .settling(lastRequest: now)
        case .working, .serving, .shuttingDown, .held, .ending, .over: break
        }
        if case .working = phase, transfer.direction == .write, case .completed(let count) = transfer.stage, count > 0,
            awaited.contains(transfer.name)
        {
            phase = .settling(lastRequest: now)
            if limits.quiet == .zero { return tick(now) }
        }
        return []
    }

    private mutating func tick(_ now: Duration) -> [Action] {
        guard let nextTick, now >= nextTick else { return [] }
        switch phase {
        case .starting: return fail(.neverCalled("nothing came within \(limits.startUp)"), now)
        case .working: return fail(.overdue, now)
        case .settling:
            switch ending {
            case .kill: return kill(.delivered)
            case .powerDown:
                phase = .shuttingDown(.delivered, since: now)
                return [.powerDown]
            case .serve:
                phase = .serving
                return []
            }
        case .shuttingDown:
            // What it wrote to its disk last may be lost: a bootstrap that can't be shut down is none.
            return fail(.died("it did not shut down within \(limits.shutdown)"), now)
        case .held(let outcome, _): return kill(outcome)
        case .serving, .ending, .over: return []
        }
    }

    private mutating func ended(_ exit: VirtualMachineExit) -> [Action] {
        let outcome: GuestOutcome =
            switch phase {
            case .starting: .neverCalled("\(exit)")
            case .working: .died("\(exit)")
            case .settling:
                // It may switch itself off once it has said all.
                switch ending {
                case .kill: .delivered
                case .powerDown: exit == .guestShutdown ? .delivered : .died("\(exit)")
                case .serve: .died("\(exit)")
                }
            case .serving: .died("\(exit)")
            case .shuttingDown(let outcome, _): exit == .guestShutdown ? outcome : .died("\(exit)")
            case .ending(let outcome), .held(let outcome, _): outcome
            case .over: .interrupted
            }
        guard phase != .over else { return [] }
        phase = .over
        return [.finish(outcome)]
    }

    private mutating func panicked(_ now: Duration) -> [Action] {
        switch phase {
        case .starting: fail(.neverCalled("its kernel panicked"), now)
        case .settling where ending == .kill: kill(.delivered)
        case .working, .settling, .serving, .shuttingDown: fail(.died("its kernel panicked"), now)
        case .held, .ending, .over: []
        }
    }

    private mutating func fail(_ outcome: GuestOutcome, _ now: Duration) -> [Action] {
        guard limits.hold != nil else { return kill(outcome) }
        phase = .held(outcome, since: now)
        return [.suspend]
    }

    private mutating func kill(_ outcome: GuestOutcome) -> [Action] {
        switch phase {
        case .ending, .over: return []
        case .starting, .working, .settling, .serving, .shuttingDown, .held:
            phase = .ending(outcome)
            return [.kill]
        }
    }
}

extension GuestWatch.Phase {
    /// What the guest is held for, if it is.
    var heldOutcome: GuestOutcome? { if case .held(let outcome, _) = self { outcome } else { nil } }
}
