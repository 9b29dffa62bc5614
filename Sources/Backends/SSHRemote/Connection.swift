import BuildOSKit
import Synchronization

/// One connection to a host, as the rest of the program sees it: what it is to do goes into a mailbox, from where its
/// thread takes it.
final class Connection: Sendable {
    private struct State {
        var commands: [CommandJob] = []
        var forwards: [ForwardJob] = []
        var cancelled: Set<UInt64> = []
        var load: [UInt64: Int] = [:]
        var isClosing = false
        /// Set once, when the thread takes nothing any more.
        var isOver = false
        var closers: [CheckedContinuation<Void, Never>] = []
    }

    /// What the thread is to do.
    struct Mail {
        let commands: [CommandJob]
        let forwards: [ForwardJob]
        let cancelled: Set<UInt64>
        let isClosing: Bool

        var isEmpty: Bool { commands.isEmpty && forwards.isEmpty && cancelled.isEmpty }
    }

    /// Commands that run at a time: sshd allows ten sessions, and ending a command's children takes one.
    static let commandLimit = 8

    let settings: HostSettings
    private let state = Mutex(State())
    private let signal: WakeSignal

    /// - Throws: `Errno` if the system has no descriptor left.
    init(_ settings: HostSettings) throws(Errno) {
        self.settings = settings
        signal = try WakeSignal(blocking: false)
    }

    /// Starts the thread, which connects.
    ///
    /// - Parameter socket: to use in place of a TCP connection; closed with the connection.
    func start(over socket: Int32?) {
        do throws(Errno) {
            try DedicatedThread.start(name: "ssh-connection") { ConnectionLoop(self).run(over: socket) }
        } catch {
            end(TransportError(.cannotStart, subject: settings.description, detail: "no thread: \(error)"))
        }
    }

    /// How much runs or waits, in commands; `nil` if it is over.
    var load: Int? { state.withLock { $0.isOver || $0.isClosing ? nil : $0.load.values.reduce(0, +) } }

    /// - Returns: whether it was taken; if not, the connection is over.
    func submit(_ job: CommandJob) -> Bool {
        var job = job
        let complete = job.complete
        // Its room is free before the caller hears of its end: the next command finds it.
        job.complete = { [self, id = job.id] result in
            state.withLock { $0.load[id] = nil }
            complete(result)
        }
        return add { [job] state in
            state.commands.append(job)
            state.load[job.id] = job.weight
        }
    }

    /// - Returns: whether it was taken; if not, the connection is over.
    func submit(_ job: ForwardJob) -> Bool { add { $0.forwards.append(job) } }

    private func add(_ change: (inout State) -> Void) -> Bool {
        let isTaken = state.withLock { state in
            if state.isOver || state.isClosing { return false }
            change(&state)
            return true
        }
        signal.raise()
        return isTaken
    }

    /// Ends a job early. One that has ended already is none of its concern.
    func cancel(_ id: UInt64) {
        let (waiting, forward): (CommandJob?, ForwardJob?) = state.withLock { state in
            if let index = state.commands.firstIndex(where: { $0.id == id }) {
                return (state.commands.remove(at: index), nil)
            }
            if let index = state.forwards.firstIndex(where: { $0.id == id }) {
                return (nil, state.forwards.remove(at: index))
            }
            if !state.isOver { state.cancelled.insert(id) }
            return (nil, nil)
        }
        forward?.refuse(TransportError(.cancelled, subject: "forwarding"))
        waiting?.complete(.failure(TransportError(.cancelled, subject: waiting?.command.description ?? "")))
        signal.raise()
    }

    /// Ends all jobs and the connection, and waits until that is done.
    func close() async {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                state.isClosing = true
                if !state.isOver { state.closers.append(continuation) }
                return state.isOver
            }
            if isOver { continuation.resume() } else { signal.raise() }
        }
    }

    /// Ends all jobs and the connection.
    func beginClosing() {
        state.withLock { $0.isClosing = true }
        signal.raise()
    }

    // What follows is for the thread.

    /// Becomes readable when there is mail.
    var signalDescriptor: Int32 { signal.descriptor }
    var isClosing: Bool { state.withLock { $0.isClosing } }

    /// Takes the signal back; the mail stays.
    func takeSignal() { signal.wait() }

    func takeMail() -> Mail {
        takeSignal()
        return state.withLock { state in
            defer {
                state.commands = []
                state.forwards = []
                state.cancelled = []
            }
            return Mail(
                commands: state.commands,
                forwards: state.forwards,
                cancelled: state.cancelled,
                isClosing: state.isClosing
            )
        }
    }

    /// Takes nothing any more, unless something has just come.
    func endIfIdle() -> Bool {
        state.withLock { state in
            guard state.commands.isEmpty, state.forwards.isEmpty else { return false }
            state.isOver = true
            return true
        }
    }

    /// Takes nothing any more; what waits fails, or goes over another connection.
    func end(_ error: TransportError) {
        let (commands, forwards, closers) = state.withLock { state in
            state.isOver = true
            defer {
                state.commands = []
                state.forwards = []
                state.closers = []
                state.load = [:]
            }
            return (state.commands, state.forwards, state.closers)
        }
        for job in commands { job.refuse(error) }
        for job in forwards { job.refuse(error) }
        for closer in closers { closer.resume() }
    }
}
