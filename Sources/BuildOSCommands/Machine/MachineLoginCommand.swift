import ArgumentParser
import BuildOSKit
import Glibc

/// What `machine login` and `login-machine` take.
struct LoginArguments: ParsableArguments {
    @Argument(help: ArgumentHelp("The agent whose machine it is.", valueName: "toolchain-instance"))
    var instance: String
    @Flag(help: "First let a suspended machine go on.")
    var resume = false
    @Option(
        help: ArgumentHelp("The VNC port on the host; without it, the machine's monitor is asked.", valueName: "port")
    )
    var port: UInt16?
    @Option(help: ArgumentHelp("The port on this machine; without it, a free one.", valueName: "port"))
    var localPort: UInt16 = 0
    @Option(help: ArgumentHelp("Start this VNC viewer, with the address as its argument.", valueName: "program"))
    var viewer: String?
    @Flag(name: .customLong("print"), help: "Start no viewer: print the address and keep the tunnel until interrupted.")
    var printOnly = false
    @Flag(help: "In place of the screen: the machine's serial console, in this terminal.")
    var serial = false
    @OptionGroup var hosts: HostOptions
    @OptionGroup var modules: ModuleOptions

    func validate() throws {
        guard serial, port != nil || localPort != 0 || viewer != nil || printOnly else { return }
        throw ValidationError("--serial: --port, --local-port, --viewer and --print are about the screen")
    }

    /// Viewers that take `<address>::<port>` or `<address>:<port>`, those with gtk-vnc first, as the manual has it.
    private static let viewers: [(program: String, address: @Sendable (Int) -> String)] = [
        ("vinagre", { "127.0.0.1:\($0)" }), ("gvncviewer", { "127.0.0.1:\($0 - 5900)" }),
        ("remote-viewer", { "vnc://127.0.0.1:\($0)" }), ("vncviewer", { "127.0.0.1::\($0)" }),
    ]

    func run() async throws {
        let instance = try AgentInstance(instance)
        let registry = modules.load().registry
        let place = try Place.one(hosts, registry)
        if serial {
            let outcome: Result<Void, any Error>
            do {
                outcome = .success(try await SerialLogin(instance: instance, place: place).run(resume: resume))
            } catch {
                outcome = .failure(error)
            }
            await place.transport.close()
            return try outcome.get()
        }
        let monitor = QEMUMonitor(transport: place.transport, socket: instance.monitorSocket)
        if resume { _ = try await monitor.run("cont") }
        let remotePort: Int
        if let port {
            remotePort = Int(port)
        } else {
            guard let found = QEMUMonitor.vncPort(in: try await monitor.run("info vnc")) else {
                throw MachineError(.notFound, "machine of \(instance)", cause: "it has no VNC screen")
            }
            remotePort = found
        }
        let desk = try registry.makeTransport(to: .thisMachine)
        let forward =
            place.isRemote
            ? try await place.transport.forward(
                localPort: Int(localPort),
                to: .tcp(host: "127.0.0.1", port: remotePort)
            ) : nil
        let port = forward?.localPort ?? remotePort
        do {
            try await cancelledByInterrupt { try await show(port, desk) }
        } catch is CancellationError {
        } catch let error as TransportError where error.kind == .cancelled {}
        await forward?.stop()
        await place.transport.close()
    }

    private func show(_ port: Int, _ desk: any Transport) async throws {
        if let viewer = printOnly ? nil : try await command(port) {
            print("\(viewer)")
            fflush(nil)
            let result = try await desk.run(
                viewer,
                input: .inherited,
                output: .inherited,
                error: .inherited,
                timeLimit: nil
            )
            guard result.status.isSuccess else { throw TransportError(.failed(result.status), command: viewer) }
            return
        }
        print("the screen is at 127.0.0.1:\(port) (VNC) until this is interrupted")
        fflush(nil)
        while true { try await Task.sleep(for: .seconds(3600)) }
    }

    private func command(_ port: Int) async throws -> Command? {
        if let viewer {
            let known = Self.viewers.first { FilePath(viewer).lastComponent?.string == $0.program }
            return Command(viewer, [known?.address(port) ?? "127.0.0.1::\(port)"])
        }
        let path = (HostProcess.environmentVariable("PATH") ?? "").split(separator: ":")
        for known in Self.viewers
        where path.contains(where: { access("\($0)/\(known.program)", X_OK) == 0 }) {
            return Command(known.program, [known.address(port)])
        }
        return nil
    }
}

extension Place {
    /// The one place that options name.
    static func one(_ options: HostOptions, _ registry: BackendRegistry) throws -> Place {
        let places = try all(options, registry)
        guard places.count == 1, let place = places.first else {
            throw ValidationError("give one --host: this is about one machine")
        }
        return place
    }
}

/// `buildosctl machine login`
struct MachineLoginCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "login",
        abstract: "Show the screen of a running build machine, by a tunnel and a viewer, or its serial console.",
        discussion: """
            'buildosctl machine login default-1 --host build@host' shows what instance 1 of toolchain default builds in. A \
            machine that was suspended goes on with --resume. With --serial it is the serial console, in this terminal: '~.' at \
            the beginning of a line or Ctrl-] leaves it. See 'machine monitor' for what else can be done with it.
            """
    )

    @OptionGroup var arguments: LoginArguments

    func run() async throws { try await arguments.run() }
}

/// `buildosctl login-machine` (MACH-8)
struct LoginMachineCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "login-machine",
        abstract: "The same as 'machine login'.",
        discussion: MachineLoginCommand.configuration.discussion
    )

    @OptionGroup var arguments: LoginArguments

    func run() async throws { try await arguments.run() }
}

/// `buildosctl machine monitor`
struct MachineMonitorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "monitor",
        abstract: "Have QEMU's monitor of a running build machine do something.",
        discussion: """
            cont lets a suspended machine go on, stop suspends it, system_powerdown and system_reset are its buttons, \
            'info status' says how it is; all that the monitor's 'help' lists can be given.
            """
    )

    @Argument(help: ArgumentHelp("The agent whose machine it is.", valueName: "toolchain-instance"))
    var instance: String
    @Argument(help: ArgumentHelp("The monitor's command.", valueName: "command"))
    var words: [String]
    @OptionGroup var hosts: HostOptions
    @OptionGroup var modules: ModuleOptions

    func run() async throws {
        let instance = try AgentInstance(instance)
        let place = try Place.one(hosts, modules.load().registry)
        let monitor = QEMUMonitor(transport: place.transport, socket: instance.monitorSocket)
        let answer: Result<String, MachineError>
        do throws(MachineError) {
            answer = .success(try await monitor.run(words.joined(separator: " ")))
        } catch {
            answer = .failure(error)
        }
        await place.transport.close()
        let text = try answer.get()
        if !text.isEmpty { print(text) }
    }
}
