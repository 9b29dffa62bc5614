import BuildOSKit
import TestSupport

extension VirtualHost {
    private var controlSocket: FilePath { lab.directory.appending("\(shape.name).ssh") }

    /// An SSH command: in the lab's network, or on this machine's loopback.
    private func ssh(_ arguments: [String]) -> Command {
        switch shape.firmware {
        case .pxe, .local: lab.inside("ssh", sshOptions + arguments)
        case .direct(let port, _): Command("ssh", sshOptions + ["-p", "\(port)"] + arguments)
        }
    }

    private var sshOptions: [String] {
        [
            "-F", "none", "-i", lab.key.string, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
            "-o", "StrictHostKeyChecking=accept-new", "-o", "UserKnownHostsFile=\(lab.directory)/known_hosts",
            "-o", "HostKeyAlias=\(shape.identity)", "-o", "ConnectTimeout=20", "-o", "LogLevel=ERROR",
        ]
    }

    /// Holds one connection open for the commands of the closure to share: each handshake takes a second in here.
    func withLogin(_ body: () async throws -> Void) async throws {
        let log = lab.logs.appending("\(shape.name).ssh.log")
        let master = Task { [self] in
            while !Task.isCancelled {
                _ = try await lab.transport.run(
                    ssh([
                        "-M", "-N", "-S", controlSocket.string, "-o", "ServerAliveInterval=5",
                        "build@\(shape.address)",
                    ]),
                    input: .none,
                    output: .appended(to: log),
                    error: .appended(to: log),
                    timeLimit: nil
                )
                try await Task.sleep(for: .milliseconds(500))
            }
        }
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await body()) } catch { outcome = .failure(error) }
        master.cancel()
        _ = await master.result
        try? FileTree.remove(controlSocket)
        try outcome.get()
    }

    /// Waits until user build can log in.
    func isUp(within limit: Duration) async throws {
        try await eventually("a login on \(shape.name): see \(serial.path)", within: limit, every: .milliseconds(300)) {
            if FileTree.exists(controlSocket) { return try await attempt("true").status.isSuccess }
            try failIfDead("anybody could log in")
            return false
        }
    }

    /// Runs a shell script on the host as user build; how it ends is for the caller to judge.
    func attempt(_ script: String, timeLimit: Duration = .seconds(60)) async throws -> CommandResult {
        try await lab.transport.run(
            ssh(["-o", "ControlMaster=no", "-S", controlSocket.string, "build@\(shape.address)", script]),
            input: .none,
            output: .collected(limit: 8 << 20),
            error: .collected(limit: 1 << 20),
            timeLimit: timeLimit
        )
    }

    /// Runs a shell script on the host as user build and returns what it wrote, without the last newline.
    @discardableResult
    func run(_ script: String, timeLimit: Duration = .seconds(60)) async throws -> String {
        let result = try await attempt(script, timeLimit: timeLimit)
        guard result.status.isSuccess else {
            throw LabError("'\(script)' on \(shape.name): \(result.status): \(result.errorText)\(result.outputText)")
        }
        return result.outputText.trimmingSuffix(while: \.isNewline)
    }

    /// Logs in anew, with other options or as somebody else.
    func logIn(as user: String, options: [String]) async throws -> CommandResult {
        try await lab.transport.run(
            ssh(["-o", "ControlPath=none"] + options + ["\(user)@\(shape.address)", "id"]),
            input: .none,
            output: .collected(limit: 1 << 20),
            error: .collected(limit: 1 << 20),
            timeLimit: .seconds(60)
        )
    }

    /// Runs `buildosctl machine …` in the lab's network, about the host, which it knows by its key.
    func machineControl(
        _ arguments: [String],
        output: CommandOutput = .collected(limit: 1 << 20)
    ) async throws -> CommandResult {
        try await lab.transport.run(
            try await machineCommand(arguments),
            input: .none,
            output: output,
            error: .collected(limit: 1 << 20),
            timeLimit: .seconds(240)
        )
    }

    /// What ``machineControl(_:)`` runs.
    func machineCommand(_ arguments: [String], sshConfig: FilePath = "/dev/null") async throws -> Command {
        // The lab's own file of host keys has them by another name.
        let known = lab.directory.appending("\(shape.name).host-keys")
        if !FileTree.exists(known) {
            let keys = try await lab.check("ssh-keyscan", ["-t", "ed25519", shape.address])
            try FileTree.write(keys, to: known)
        }
        return lab.inNetwork(
            StagedTree.program("buildosctl").string,
            ["machine"] + arguments + [
                "--host", "build@\(shape.address)", "--identity", lab.key.string,
                "--known-hosts", known.string, "--ssh-config", sshConfig.string,
            ]
        )
    }
}
