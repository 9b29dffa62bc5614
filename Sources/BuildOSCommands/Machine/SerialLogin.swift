import BuildOSKit
import Glibc

/// `machine login --serial`: the guest's serial console in the operator's terminal.
struct SerialLogin {
    let instance: AgentInstance
    let place: Place

    func run(resume: Bool) async throws {
        let monitor = QEMUMonitor(transport: place.transport, socket: instance.monitorSocket)
        let console = SerialConsole(transport: place.transport, socket: instance.serialSocket)
        if resume { _ = try await monitor.run("cont") }
        guard try !console.isTaken(in: try await monitor.run("info chardev")) else {
            throw MachineError(
                .busy,
                "console of \(instance)",
                cause: "somebody else is connected to it",
                remedy: "have them leave, or see the screen, without --serial"
            )
        }
        let isTerminal = isatty(STDIN_FILENO) == 1
        if isTerminal {
            Self.say(
                "the serial console of \(instance); ~. at the beginning of a line or Ctrl-] leaves it, Enter wakes it"
            )
        }
        // With SIGHUP, as a terminal may well outlive who sent that.
        let ending = try await cancelledByInterrupt([SIGINT, SIGTERM, SIGHUP]) {
            try await RawTerminal.during(.standardInput) {
                try await console.run(input: .standardInput, output: .standardOutput, isTerminal: isTerminal)
            }
        }
        if isTerminal { Self.say(ending == .left ? "left the console; the build goes on" : "the machine has ended") }
    }

    /// Not to standard output, which is the guest's.
    private static func say(_ text: String) {
        _ = try? FileDescriptor.standardError.writeAll("\(text)\n".utf8)
    }
}

/// Has every key passed on as it is pressed, Ctrl-C too (termios(3), "Raw mode").
enum RawTerminal {
    /// Runs a closure while a terminal is raw, and puts it back; only runs it if the descriptor is no terminal.
    ///
    /// - Throws: `Errno` of tcsetattr(3), and what the closure throws.
    static func during<Success>(_ terminal: FileDescriptor, _ body: () async throws -> Success) async throws -> Success
    {
        var before = termios()
        guard tcgetattr(terminal.rawValue, &before) == 0 else { return try await body() }
        var raw = before
        cfmakeraw(&raw)
        guard tcsetattr(terminal.rawValue, TCSADRAIN, &raw) == 0 else { throw Errno(rawValue: errno) }
        defer { tcsetattr(terminal.rawValue, TCSADRAIN, &before) }
        return try await body()
    }
}
