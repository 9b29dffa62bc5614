import FoundationEssentials

/// Mail by the sendmail program of the host's mail system (MAIL-1).
public struct SendmailMailer: MailSending {
    private let transport: any Transport
    private let flushLimit: Duration

    /// Creates a mailer.
    ///
    /// - Parameter flushLimit: how long ``flush()`` waits at most.
    public init(transport: any Transport, flushLimit: Duration = .seconds(30)) {
        self.transport = transport
        self.flushLimit = flushLimit
    }

    public func send(_ message: String) async throws {
        // -t: recipients are in the headers; -i: a line with a dot alone is text.
        try await transport.check(
            Command("/usr/sbin/sendmail", ["-t", "-i"]),
            input: .bytes(Array(message.utf8)),
            timeLimit: .seconds(60)
        )
    }

    public func flush() async {
        let queue = Command("/usr/sbin/postqueue", ["-p"])
        for attempt in 0..<max(1, Int(flushLimit / .seconds(1))) {
            if attempt == 0 {
                _ = try? await transport.check(Command("/usr/sbin/postqueue", ["-f"]), timeLimit: .seconds(10))
            }
            guard let shown = try? await transport.check(queue, timeLimit: .seconds(10)),
                !shown.outputText.contains("queue is empty")
            else { return }
            do { try await Task.sleep(for: .seconds(1)) } catch { return }
        }
    }
}

/// Machine directories, cleaned by root and looked at by anybody.
public struct HostMachines: MachineKeeping {
    private let privileged: PrivilegedRunner
    private let layout: MachineLayout

    /// Creates a keeper of this host's machine directories.
    public init(privileged: PrivilegedRunner, layout: MachineLayout = MachineLayout()) {
        self.privileged = privileged
        self.layout = layout
    }

    public func clean() async throws -> MachineCleaningReport {
        let output = try await privileged.run(.cleanMachines)
        return try JSONDecoder().decode(MachineCleaningReport.self, from: Data(output))
    }

    public func inUse() async throws -> [MachineInUse] { try layout.machinesInUse() }
}

/// Reboots by `buildosd privileged`.
public struct HostPower: HostControlling {
    private let privileged: PrivilegedRunner

    /// Creates a control of this host.
    public init(privileged: PrivilegedRunner) { self.privileged = privileged }

    public func reboot(_ request: RebootRequest) async throws { try await privileged.run(.reboot(request)) }

    public func note(rebootFor id: BuildID) async throws { try await privileged.run(.noteReboot(id)) }
}

/// The status as a file that readers see whole, old or new.
public struct StatusFile: StatusPublishing {
    /// Where it is on a host.
    public static let standard: FilePath = "/run/buildos/status.json"

    private let path: FilePath

    /// Creates a file; its directory is made when it is first written.
    public init(_ path: FilePath = standard) { self.path = path }

    public func publish(_ status: HostStatus) throws {
        try FileTree.makeDirectory(path.removingLastComponent())
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try FileTree.write(Array(encoder.encode(status)) + [0x0a], to: path)
    }

    /// Reads a status, with what builtin agents and who drains them have written beside it.
    ///
    /// - Throws: ``StatusFileError``
    public static func read(_ path: FilePath = standard) throws(StatusFileError) -> HostStatus {
        let bytes: [UInt8]
        do { bytes = try FileTree.read(path) } catch { throw StatusFileError(path: path, problem: .file(error)) }
        let schema: Schema
        do { schema = try JSONDecoder().decode(Schema.self, from: Data(bytes)) } catch {
            throw StatusFileError(path: path, problem: .content)
        }
        guard schema.schema == HostStatus.currentSchema else {
            throw StatusFileError(path: path, problem: .schema(schema.schema))
        }
        var status: HostStatus
        do { status = try JSONDecoder().decode(HostStatus.self, from: Data(bytes)) } catch {
            throw StatusFileError(path: path, problem: .content)
        }
        let directory = path.removingLastComponent()
        status.agents = AgentStatus.all(in: directory.appending("agents"))
        status.drain = DrainRequest.current(directory.appending("drain.json"))
        return status
    }

    private struct Schema: Decodable { let schema: Int }
}

/// Why a status could not be read.
public struct StatusFileError: DiagnosableError, Hashable {
    /// What is the matter.
    public enum Problem: Sendable, Hashable {
        /// The file can't be read.
        case file(FileError)
        /// It isn't a status.
        case content
        /// It is a status of another schema.
        case schema(Int)
    }

    /// The file.
    public let path: FilePath
    /// What is the matter.
    public let problem: Problem

    public var subject: String { path.string }
    public var cause: String {
        switch problem {
        case .file(let error) where error.errno == .noSuchFileOrDirectory:
            "there is no status: no monitor has run on this host since it booted"
        case .file(let error): error.cause
        case .content: "this is not the status of a monitor"
        case .schema(let schema): "its schema is \(schema), this program reads \(HostStatus.currentSchema)"
        }
    }
    public var remedy: String? {
        switch problem {
        case .file(let error) where error.errno == .noSuchFileOrDirectory:
            "see 'systemctl status buildos' on the host, or give --file"
        case .file(let error): error.remedy
        case .content: "give the status.json of a host"
        case .schema: "use the buildosctl that belongs to the host"
        }
    }
}
