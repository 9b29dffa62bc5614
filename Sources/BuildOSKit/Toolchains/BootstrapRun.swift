import Glibc

/// One attempt to bootstrap one toolchain: the steps in their order, against one deadline.
struct BootstrapRun: Sendable {
    let toolchain: PublishedToolchain
    let options: BootstrapOptions
    let layout: ToolchainLayout
    let transport: any Transport
    let log: BoundedLog
    let onStep: @Sendable (BootstrapStep) -> Void
    private let deadline: ContinuousClock.Instant

    init(
        toolchain: PublishedToolchain,
        options: BootstrapOptions,
        layout: ToolchainLayout,
        transport: any Transport,
        log: BoundedLog,
        onStep: @escaping @Sendable (BootstrapStep) -> Void
    ) {
        self.toolchain = toolchain
        self.options = options
        self.layout = layout
        self.transport = transport
        self.log = log
        self.onStep = onStep
        deadline = ContinuousClock.now + options.timeLimit
    }

    private var prefix: FilePath { layout.prefix(toolchain.name) }
    private var work: FilePath { layout.work(toolchain.name) }
    private var bot: FilePath { work.appending("bbot") }

    /// - Returns: what the agent says of its version.
    func perform() async throws(ToolchainBootstrapError) -> String {
        let source = try await unpack()
        let repository = try repository(of: source)
        try await build(source)
        try await installAgent(from: repository)
        return try await agentVersion()
    }

    private func unpack() async throws(ToolchainBootstrapError) -> FilePath {
        let listed = try await collect(
            .list,
            Command(
                "tar",
                ArchiveListing.tarOptions + ["--file", toolchain.archive.string],
                environment: ["LC_ALL": "C", "TZ": "UTC"]
            ),
            limit: 128 << 20
        )
        let listing: ArchiveListing
        do throws(ArchiveListing.Refusal) {
            listing = try ArchiveListing(listed)
        } catch {
            throw failure(.archive(error.reason))
        }
        do throws(FileError) {
            try FileTree.makeDirectory(work)
        } catch {
            throw failure(.file(error))
        }
        try await log(
            .unpack,
            Command(
                "tar",
                [
                    "--extract", "--no-same-owner", "--no-same-permissions", "--directory", work.string, "--file",
                    toolchain.archive.string,
                ]
            )
        )
        return work.appending(listing.top)
    }

    private func repository(of source: FilePath) throws(ToolchainBootstrapError) -> String {
        let script = source.appending("build.sh")
        var status = stat()
        guard lstat(script.string, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_mode & S_IXUSR != 0
        else { throw failure(.archive("there is no executable build.sh in its top directory")) }
        if let repository = options.repository { return repository }
        let text: String
        do throws(FileError) {
            text = try FileTree.readText(script, limit: 4 << 20)
        } catch {
            throw failure(.file(error))
        }
        guard let repository = Self.embeddedRepository(in: text) else {
            throw failure(.archive("its build.sh has no line BUILD2_REPO=\"<url>\""))
        }
        return repository
    }

    /// The value of the line `BUILD2_REPO="<url>"` of a build.sh. The script is read, not run.
    static func embeddedRepository(in script: String) -> String? {
        let assignment = "BUILD2_REPO=\""
        for line in script.split(whereSeparator: \.isNewline) {
            let statement = line.drop { $0 == " " || $0 == "\t" }
            guard statement.hasPrefix(assignment) else { continue }
            let value = statement.dropFirst(assignment.count).prefix { $0 != "\"" }
            guard !value.isEmpty, !value.hasPrefix("-"), !value.contains("$"), !value.contains("`"),
                !value.contains(where: \.isWhitespace)
            else { continue }
            return String(value)
        }
        return nil
    }

    private func build(_ source: FilePath) async throws(ToolchainBootstrapError) {
        var arguments = ["--install-dir", prefix.string, "--trust", "\(toolchain.trust)"]
        arguments += ["--timeout", "\(networkTimeout)"]
        if let jobs = options.jobs { arguments += ["--jobs", "\(jobs)"] }
        try await log(
            .build,
            Command(
                source.appending("build.sh").string,
                arguments + [options.compiler],
                // Whatever this process inherited, the repository is the configured one or the embedded one.
                environment: ["BUILD2_REPO": options.repository],
                workingDirectory: source
            )
        )
    }

    private func installAgent(from repository: String) async throws(ToolchainBootstrapError) {
        let configuration = [
            "cc", "config.cxx=\(options.compiler)", "config.cc.coptions=-O3", "config.bin.rpath=\(prefix)/lib",
            "config.install.root=\(prefix)",
        ]
        let trust: [String] =
            switch toolchain.trust {
            case .yes: ["--trust-yes"]
            case .no: ["--trust-no"]
            case .fingerprint(let fingerprint): ["--trust", "\(fingerprint)"]
            }
        let timeout = ["--fetch-timeout", "\(networkTimeout)"]
        let jobs = options.jobs.map { ["--jobs", "\($0)"] } ?? []
        try await log(.createConfiguration, bpkg("create", configuration))
        try await log(.addRepository, bpkg("add", [repository]))
        try await log(.fetchRepository, bpkg("fetch", timeout + trust))
        try await log(.buildAgent, bpkg("build", timeout + jobs + ["--for", "install", "--yes", "--plan=", "bbot"]))
        try await log(.installAgent, bpkg("install", ["bbot"]))
    }

    private func bpkg(_ subcommand: String, _ arguments: [String]) -> Command {
        let path = HostProcess.environmentVariable("PATH") ?? "/usr/bin:/bin"
        return Command(
            prefix.appending("bin/bpkg").string,
            [subcommand, "--directory", bot.string] + arguments,
            environment: [
                "PATH": "\(prefix)/bin:\(path)",
                // The defaults of a user's own configuration files have no place here; build.sh does the same.
                "BUILD2_DEF_OPT": "0", "BPKG_DEF_OPT": "0", "BPKG_FETCH_CACHE": "0",
            ],
            workingDirectory: work
        )
    }

    private func agentVersion() async throws(ToolchainBootstrapError) -> String {
        let agent = layout.agent(toolchain.name)
        guard access(agent.string, X_OK) == 0 else { throw failure(.noAgent) }
        let output = try await collect(.checkAgent, Command(agent.string, ["--version"]), limit: 64 << 10)
        let line = output.split(whereSeparator: \.isNewline).first.map { String($0.prefix(200)) } ?? ""
        log.append("\(agent): \(line)")
        return line
    }

    private var networkTimeout: Int64 { max(1, options.networkTimeout.components.seconds) }
}

extension BootstrapRun {
    /// Runs a step whose output goes to the log.
    private func log(_ step: BootstrapStep, _ command: Command) async throws(ToolchainBootstrapError) {
        let log = log
        _ = try await run(step, command, output: .lines { log.append($0) })
    }

    /// Runs a step whose standard output is wanted.
    private func collect(
        _ step: BootstrapStep,
        _ command: Command,
        limit: Int
    ) async throws(ToolchainBootstrapError) -> String {
        try await run(step, command, output: .collected(limit: limit)).outputText
    }

    private func run(
        _ step: BootstrapStep,
        _ command: Command,
        output: CommandOutput
    ) async throws(ToolchainBootstrapError) -> CommandResult {
        onStep(step)
        log.append("+ \(command)")
        let left = ContinuousClock.now.duration(to: deadline)
        guard left > .zero else { throw failure(.timedOut(step, options.timeLimit)) }
        do throws(TransportError) {
            let log = log
            let result = try await transport.run(
                command,
                input: .none,
                output: output,
                error: .lines { log.append($0) },
                timeLimit: left
            )
            guard result.status.isSuccess else {
                throw TransportError(
                    .failed(result.status),
                    command: command,
                    detail: log.lastLines(4).filter { !$0.hasPrefix("+ ") }.joined(separator: "; ")
                )
            }
            return result
        } catch {
            switch error.kind {
            case .timedOut: throw failure(.timedOut(step, options.timeLimit))
            case .cancelled: throw failure(.cancelled)
            case .tooMuchOutput where step == .list: throw failure(.archive("its list of files is too long"))
            default: throw failure(isFull ? .noSpace(step, error) : .step(step, error))
            }
        }
    }

    /// Tools don't always say so, and what they wrote last they may have removed.
    private var isFull: Bool {
        var status = statvfs()
        guard statvfs(layout.base.string, &status) == 0 else { return false }
        return UInt64(status.f_bavail) * UInt64(status.f_frsize) < 16 << 20
            || status.f_files > 0 && status.f_favail == 0
    }

    private func failure(_ kind: ToolchainBootstrapError.Kind) -> ToolchainBootstrapError {
        ToolchainBootstrapError(kind, toolchain: toolchain.name, log: layout.log(toolchain.name))
    }
}
