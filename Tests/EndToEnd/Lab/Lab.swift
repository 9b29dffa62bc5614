import BuildOSKit
import Glibc
import LocalTransport
import Synchronization
import TestSupport
import Testing

/// A network of its own with everything that build hosts need around them: DHCP, DNS, TFTP, a web server, a mail
/// server, and disks.
///
/// All of it lives in one network namespace and one PID namespace, which end when this process ends, however it ends:
/// see `Fixtures/anchor`. In order, ``withLab(_:)`` takes it down itself, last things first. Logs are kept in
/// `build/lab/`.
final class Lab: Sendable {
    /// The one that the running test is in.
    @TaskLocal static var running: Lab?

    static var current: Lab {
        get throws { try #require(running, "no lab: the test is outside of a suite that has one") }
    }

    /// The lab's own address; the web, mail, name and boot servers are all there.
    static let address = "10.99.0.1"

    /// Holds disks and what the servers serve; removed at the end.
    let directory: FilePath
    /// Holds logs; stays.
    let logs: FilePath
    let transport: any Transport = LocalTransport()
    let notes = Notebook()
    let secondImage: SecondImage
    /// The process that holds the namespaces.
    private let anchor: Int32

    var web: FilePath { directory.appending("web") }
    var tftp: FilePath { directory.appending("tftp") }
    var mail: FilePath { directory.appending("mail") }
    var key: FilePath { directory.appending("key") }

    private init(directory: FilePath, logs: FilePath, anchor: Int32) {
        self.directory = directory
        self.logs = logs
        self.anchor = anchor
        secondImage = SecondImage(
            directory: directory.appending("second-image"),
            log: logs.appending("second-image.log"),
            transport: transport
        )
    }

    /// What keeps a lab from running on this machine; `nil` if nothing does.
    static let obstacle: String? = {
        if geteuid() != 0 { return "the end-to-end tests make network namespaces: run them as root" }
        if access("/dev/net/tun", R_OK | W_OK) != 0 { return "/dev/net/tun isn't there: load the module tun" }
        let programs = [
            "qemu-system-x86_64", "dnsmasq", "nginx", "ip", "nsenter", "unshare", "ssh", "mkfs.btrfs", "python3",
        ]
        let missing = programs.filter { name in
            !["/usr/bin", "/usr/sbin", "/bin", "/sbin"].contains { access("\($0)/\(name)", X_OK) == 0 }
        }
        return missing.isEmpty ? nil : "\(missing.joined(separator: ", ")) isn't there: run 'make deps'"
    }()

    static func fixture(_ name: String) -> FilePath {
        StagedTree.checkout.appending("Tests/EndToEnd/Fixtures").appending(name)
    }

    /// Runs a closure with a lab around it.
    static func withLab(_ body: (Lab) async throws -> Void) async throws {
        let directory = FilePath("/tmp/buildos-lab-\(getpid())-\(UInt32.random(in: .min ... .max))")
        let logs = StagedTree.root.appending("lab")
        try FileTree.remove(logs)
        for name in ["web", "tftp", "mail"] { try FileTree.makeDirectory(directory.appending(name)) }
        try FileTree.makeDirectory(logs)

        let life = try Lifeline(directory.appending("life"))
        let namespaces = Task {
            try await LocalTransport().run(
                Command(fixture("hold-namespaces").string, [directory.string, fixture("anchor").string]),
                input: .file(life.path),
                output: .appended(to: logs.appending("anchor.log")),
                error: .appended(to: logs.appending("anchor.log")),
                timeLimit: nil
            )
        }
        let outcome: Result<Void, any Error>
        do {
            let file = directory.appending("anchor")
            try await eventually("the lab's namespaces", within: .seconds(20)) { FileTree.exists(file) }
            let text = try FileTree.readText(file)
            let anchor = try #require(Int32(text.trimmingSuffix(while: \.isWhitespace)))
            let lab = Lab(directory: directory, logs: logs, anchor: anchor)
            try await lab.makeKey()
            outcome = .success(try await lab.withServers { try await $running.withValue(lab) { try await body(lab) } })
        } catch {
            outcome = .failure(error)
        }
        life.end()
        let end = try await namespaces.value
        try outcome.get()
        guard end.status.isSuccess else { throw LabError("the lab's namespaces ended with \(end.status)") }
    }

    /// A command that runs in the lab's network alone, for programs that look for themselves in /proc.
    func inNetwork(_ executable: String, _ arguments: [String]) -> Command {
        Command("nsenter", ["--target", "\(anchor)", "--net", "--", executable] + arguments)
    }

    /// A command that runs in the lab's namespaces.
    func inside(_ executable: String, _ arguments: [String]) -> Command {
        Command("nsenter", ["--target", "\(anchor)", "--net", "--pid", "--", executable] + arguments)
    }

    /// Runs a command in the lab's network, and throws unless it ends well.
    @discardableResult
    func check(_ executable: String, _ arguments: [String], timeLimit: Duration = .seconds(60)) async throws -> String {
        try await transport.check(inside(executable, arguments), timeLimit: timeLimit).outputText
    }

    /// Runs a program for as long as the closure runs; its output goes to `<name>.log`.
    ///
    /// - Throws: ``LabError`` if the program ended before the closure; what the closure throws.
    func withProgram(
        _ name: String,
        _ command: Command,
        _ body: () async throws -> Void,
        ending end: () async throws -> Void = {}
    ) async throws {
        let log = logs.appending("\(name).log")
        let isTold = Mutex(false)
        let program = Task { [transport] in
            let result = try await transport.run(
                command,
                input: .none,
                output: .appended(to: log),
                error: .appended(to: log),
                timeLimit: nil
            )
            return (result.status, isTold.withLock { $0 })
        }
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await body()) } catch { outcome = .failure(error) }
        isTold.withLock { $0 = true }
        let ended: Result<Void, any Error>
        do { ended = .success(try await end()) } catch { ended = .failure(error) }
        program.cancel()
        if case .success((let status, false)) = await program.result {
            throw LabError("\(name) ended by itself with \(status): see \(log)")
        }
        try outcome.get()
        try ended.get()
    }

    private func makeKey() async throws {
        try await transport.check(
            Command("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "operator@lab", "-f", key.string])
        )
    }
}

/// Something in the lab itself went wrong.
struct LabError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// What one boot leaves for a later one to compare with.
actor Notebook {
    private var notes: [String: String] = [:]
    func write(_ name: String, _ value: String) { notes[name] = value }
    func read(_ name: String) -> String? { notes[name] }
}

/// A pipe whose writing end this process alone holds: the lab lives until it is closed.
private struct Lifeline: Sendable {
    let path: FilePath
    private let descriptor: FileDescriptor

    init(_ path: FilePath) throws {
        self.path = path
        guard mkfifo(path.string, 0o600) == 0 else { throw Errno(rawValue: errno) }
        // For reading too, so that neither this nor the other end's opening waits.
        descriptor = try FileDescriptor.open(path, .readWrite, options: .closeOnExec)
    }

    func end() { try? descriptor.close() }
}

/// Waits until a condition holds.
///
/// - Throws: ``LabError``, naming what was waited for, after `limit`; what the condition throws.
func eventually(
    _ what: String,
    within limit: Duration,
    every interval: Duration = .milliseconds(200),
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < deadline else { throw LabError("waited \(limit) in vain for \(what)") }
        try await Task.sleep(for: interval)
    }
}

extension String {
    func trimmingSuffix(while predicate: (Character) -> Bool) -> String {
        var text = self[...]
        while let last = text.last, predicate(last) { text.removeLast() }
        return String(text)
    }
}
