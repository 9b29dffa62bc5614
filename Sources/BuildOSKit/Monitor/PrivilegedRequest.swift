/// What the monitor, which runs as an ordinary user, may ask root for: nothing but this.
///
/// The same type writes the arguments of `buildosd privileged` on the one side and reads them on the other, so that
/// whatever root is asked for has been parsed by root.
public enum PrivilegedRequest: Sendable, Hashable {
    /// Start an instance of a toolchain's agent.
    case startAgent(AgentKind, ToolchainName, instance: Int)
    /// Stop one, whichever it is.
    case stopAgent(ToolchainName, instance: Int)
    /// Reboot.
    case reboot(RebootRequest)
    /// Note in the ``RebootJournal`` that the host is about to reboot for a build id.
    case noteReboot(BuildID)
    /// Remove strays from machine directories and print a ``MachineCleaningReport``.
    case cleanMachines

    /// Where a kernel must lie to be booted by kexec.
    public static let kexecDirectory: FilePath = "/build/kexec"

    /// Why arguments are not a request.
    public struct ParseError: DiagnosableError, Hashable {
        public var subject: String { "arguments of 'buildosd privileged'" }
        public let cause: String
        public var remedy: String? {
            "use: agents start bbot|builtin <toolchain> <instance>, agents stop <toolchain> <instance>, reboot [--kexec --kernel FILE --initrd FILE], "
                + "note-reboot <build id>, or clean-machines"
        }
    }

    /// The arguments after `buildosd privileged`.
    public var arguments: [String] {
        switch self {
        case .startAgent(let kind, let toolchain, let instance):
            ["agents", "start", kind.rawValue, toolchain.text, "\(instance)"]
        case .stopAgent(let toolchain, let instance): ["agents", "stop", toolchain.text, "\(instance)"]
        case .reboot(.firmware): ["reboot"]
        case .reboot(.kexec(let kernel, let initrd)):
            ["reboot", "--kexec", "--kernel", kernel.string, "--initrd", initrd.string]
        case .noteReboot(let id): ["note-reboot", id.description]
        case .cleanMachines: ["clean-machines"]
        }
    }

    /// Reads arguments; nothing but what ``arguments`` writes is accepted.
    ///
    /// - Throws: ``ParseError``
    public init(arguments: [String]) throws(ParseError) {
        func fail(_ cause: String) -> ParseError { ParseError(cause: cause) }
        switch arguments.first {
        case "agents":
            switch arguments.dropFirst().first {
            case "start":
                guard arguments.count == 5 else { throw fail("'agents start' takes three arguments") }
                guard let kind = AgentKind(rawValue: arguments[2]) else {
                    throw fail("'agents start' is followed by bbot or builtin")
                }
                let (toolchain, instance) = try Self.agent(arguments[3], arguments[4])
                self = .startAgent(kind, toolchain, instance: instance)
            case "stop":
                guard arguments.count == 4 else { throw fail("'agents stop' takes two arguments") }
                let (toolchain, instance) = try Self.agent(arguments[2], arguments[3])
                self = .stopAgent(toolchain, instance: instance)
            default: throw fail("'agents' is followed by 'start' or 'stop'")
            }
        case "reboot" where arguments.count == 1: self = .reboot(.firmware)
        case "reboot":
            guard arguments.count == 6, arguments[1] == "--kexec", arguments[2] == "--kernel",
                arguments[4] == "--initrd"
            else { throw fail("'reboot' is followed by nothing, or by --kexec, --kernel FILE, --initrd FILE") }
            self = .reboot(
                .kexec(
                    kernel: try Self.kexecFile(arguments[3]),
                    initrd: try Self.kexecFile(arguments[5])
                )
            )
        case "note-reboot":
            guard arguments.count == 2, let id = BuildID(arguments[1]), id.description == arguments[1] else {
                throw fail("'note-reboot' takes one build id")
            }
            self = .noteReboot(id)
        case "clean-machines" where arguments.count == 1: self = .cleanMachines
        case "clean-machines": throw fail("'clean-machines' takes no arguments")
        case let verb?: throw fail("there is no '\(verb.prefix(40).filter { $0.isLetter || $0 == "-" })'")
        case nil: throw fail("there are none")
        }
    }

    /// What root runs for it, one after the other; none for what this program does itself.
    public var steps: [PrivilegedStep] {
        switch self {
        case .startAgent(let kind, let toolchain, let instance):
            let unit = AgentUnit.name(toolchain, instance: instance, kind: kind)
            return [
                // Whatever systemd holds against the unit is forgotten, so that it gets another try.
                PrivilegedStep(Command("systemctl", ["reset-failed", unit]), mayFail: true),
                PrivilegedStep(Command("systemctl", ["start", unit])),
            ]
        case .stopAgent(let toolchain, let instance):
            let units = AgentKind.allCases.map { AgentUnit.name(toolchain, instance: instance, kind: $0) }
            return [PrivilegedStep(Command("systemctl", ["stop"] + units))]
        case .reboot(.firmware): return [PrivilegedStep(Command("systemctl", ["reboot"]))]
        case .reboot(.kexec(let kernel, let initrd)):
            return [
                PrivilegedStep(
                    Command("kexec", ["--load", kernel.string, "--initrd=\(initrd)", "--reuse-cmdline"])
                ),
                PrivilegedStep(Command("systemctl", ["kexec"])),
            ]
        case .noteReboot, .cleanMachines: return []
        }
    }

    private static func agent(
        _ toolchain: String,
        _ instance: String
    ) throws(ParseError) -> (ToolchainName, instance: Int) {
        guard let number = MachineRevision.number(instance), (1...99).contains(number) else {
            throw ParseError(cause: "the instance is not a number from 1 to 99")
        }
        do { return (try ToolchainName(toolchain), number) } catch { throw ParseError(cause: error.cause) }
    }

    private static func kexecFile(_ text: String) throws(ParseError) -> FilePath {
        let name = text.dropFirst(kexecDirectory.string.utf8.count + 1)
        guard text == "\(kexecDirectory)/\(name)", (try? RelativePath(String(name)))?.components.count == 1 else {
            throw ParseError(cause: "a file for kexec must lie in \(kexecDirectory)")
        }
        return FilePath(text)
    }
}

/// A program that root runs.
public struct PrivilegedStep: Sendable, Hashable {
    /// The program.
    public let command: Command
    /// Whether the next step follows even if it fails.
    public let mayFail: Bool

    init(_ command: Command, mayFail: Bool = false) {
        self.command = command
        self.mayFail = mayFail
    }
}

/// Has root do what is allowed: by `sudo -n buildosd privileged …`, never through a shell.
public struct PrivilegedRunner: Sendable {
    private let transport: any Transport
    private let program: FilePath

    /// Creates a runner.
    ///
    /// - Parameter program: `buildosd`, by the path that the sudo rule names.
    public init(transport: any Transport, program: FilePath = "/usr/bin/buildosd") {
        self.transport = transport
        self.program = program
    }

    /// Has a request done; gives back what it printed.
    ///
    /// - Throws: ``TransportError``
    @discardableResult
    public func run(_ request: PrivilegedRequest) async throws(TransportError) -> [UInt8] {
        let command = Command("sudo", ["-n", program.string, "privileged"] + request.arguments)
        return try await transport.check(command, timeLimit: .seconds(300)).output
    }
}
