import BuildOSConformance
import BuildOSKit
import Glibc
import TestSupport
import Testing

/// Sender, receiver and sshd are killed at every step that the journal shows, and at writes in between. Whenever that is,
/// the machine is the old one or the new one, whole; another run finishes; nothing is left.
@Suite("MACH-2: never half a machine, whoever is killed", .serialized) struct MachineKillTests {
    enum Victim: String, Sendable, CaseIterable {
        case receiver, sender, sshd
    }

    /// How often each victim is killed: 200 times together.
    private static let goals: [Victim: Int] = [.receiver: 80, .sender: 60, .sshd: 60]

    /// Where it is killed: at every step, twice, and then wherever it writes.
    private func place(_ attempt: Int, _ generator: inout SeededGenerator) -> UploadWatch.Place {
        let steps = MachineStep.allCases
        if attempt < 2 * steps.count { return .step(steps[attempt % steps.count].rawValue) }
        return .write(.random(in: 1...25, using: &generator))
    }

    @Test("MACH-2, MACH-9: killed at steps and between them, 200 times in all", arguments: Victim.allCases)
    func killed(victim: Victim) async throws {
        guard Requirements.isMet(FileTree.exists(LinkedControl.program), "there is no \(LinkedControl.program)") else {
            return
        }
        let goal = Self.goals[victim] ?? 0
        try await MachineLab.run { lab in
            try await withSSHServer(by: lab.transport) { server in
                let run = KillRun(lab: lab, server: server, victim: victim)
                try await run.start()
                var generator = SeededGenerator(seed: 1)
                var attempt = 0
                // Some come too late, when all is done.
                while run.kills < goal, attempt < 4 * goal {
                    try await run.kill(at: place(attempt, &generator))
                    attempt += 1
                }
                try await run.finish()
                print("\(victim): killed \(run.kills) times, \(run.tooLate) times too late, \(run.revision) upgrades")
                #expect(run.kills >= goal)
            }
        }
    }
}

/// `buildosctl` with its backends linked in, beside the test runner.
enum LinkedControl {
    static let program = HostProcess.executable.removingLastComponent().appending("buildosctl-linked")
}

/// Upgrades of one machine, one after the other, that are interrupted.
private final class KillRun {
    let lab: MachineLab
    let server: SSHServer
    let victim: MachineKillTests.Victim
    /// The revision that is being brought to the host.
    private(set) var revision = 0
    private(set) var kills = 0
    private(set) var tooLate = 0
    private var isCompressed = false

    init(lab: MachineLab, server: SSHServer, victim: MachineKillTests.Victim) {
        self.lab = lab
        self.server = server
        self.victim = victim
    }

    func start() async throws {
        try await lab.makeImage("1.0", kibibytes: 256)
        try demand(try await lab.upload("1.0").error == nil, "the first image was not taken")
        try await next()
    }

    /// Makes the next revision: a megabyte of it is new.
    private func next() async throws {
        let (old, new) = (revision, revision + 1)
        let work = lab.desk.appending("work")
        try await lab.storage.snapshot(lab.desk.appending(MachineLab.name("1.\(old)")), to: work, readOnly: false)
        var generator = SeededGenerator(seed: UInt64(new))
        let words = (0..<(128 << 10)).map { _ in generator.next() }
        try FileTree.write(words.withUnsafeBytes { Array($0) }, to: work.appending("disk.img"))
        try FileTree.write("revision 1.\(new)\n", to: work.appending("revision"))
        try await lab.storage.snapshot(work, to: lab.desk.appending(MachineLab.name("1.\(new)")), readOnly: true)
        try await lab.storage.delete(work)
        if old > 1 { try await lab.storage.delete(lab.desk.appending(MachineLab.name("1.\(old - 2)"))) }
        revision = new
        isCompressed.toggle()
    }

    /// Uploads, kills, and looks.
    func kill(at place: UploadWatch.Place) async throws {
        try await waitForReceivers()
        let watch = try UploadWatch(lab.volume.appending(".uploads"), machine: MachineLab.machine)
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw Errno(rawValue: errno)
        }
        let (over, raise) = (ends[0], ends[1])
        let (command, transport) = (command, lab.transport)
        async let uploading: Bool = {
            let result = try? await transport.run(
                command,
                input: .none,
                output: .discarded,
                error: .discarded,
                timeLimit: .seconds(120)
            )
            send(raise, "x", 1, Int32(MSG_NOSIGNAL))
            return result?.status.isSuccess == true
        }()
        let isReached = await watch.wait(for: place, orUntil: over)
        if isReached { for process in victims() { _ = Glibc.kill(process, SIGKILL) } }
        let isDone = await uploading
        close(over)
        close(raise)
        if isReached, !isDone { kills += 1 } else { tooLate += 1 }
        try await look(afterKillAt: place)
        if isDone {
            try demand(try await lab.revisionInEffect() == "1.\(revision)", "done, but 1.\(revision) is not in effect")
            try await next()
        }
    }

    private func look(afterKillAt place: UploadWatch.Place) async throws {
        let seen: String?
        do { seen = try await lab.revisionInEffect() } catch {
            throw ConformanceFailure("\(victim) killed at \(place) of 1.\(revision): \(error)")
        }
        try demand(
            seen == "1.\(revision)" || seen == "1.\(revision - 1)",
            "\(victim) killed at \(place) of 1.\(revision): \(seen ?? "nothing") is in effect"
        )
    }

    /// Runs once more, whatever was left, and looks at what remains.
    func finish() async throws {
        try await waitForReceivers()
        var options = UploadOptions()
        options.keep = 2
        let report = try await lab.upload("1.\(revision)", options)
        try demand(report.error == nil, "the last run failed: \(String(describing: report.error))")
        try demand(try await lab.revisionInEffect() == "1.\(revision)", "1.\(revision) is not in effect")
        _ = try await lab.keeper().prune(keep: 2)
        try await lab.requireNothingLeaked()
    }

    /// Receivers that outlived their senders end by themselves, and let go of the machine's lock.
    private func waitForReceivers() async throws {
        let path = lab.volume.appending(".uploads/\(MachineLab.machine).lock")
        let file = try FileDescriptor.open(path, .readWrite, options: .closeOnExec)
        await DedicatedThread.run(name: "wait") { _ = flock(file.rawValue, LOCK_EX) }
        try file.close()
    }

    private func victims() -> [Int32] {
        switch victim {
        case .receiver: Processes.all(withArguments: ["machine", "receive", lab.root.string])
        case .sender: Processes.all(withArguments: ["machine", "upgrade", lab.root.string])
        case .sshd: Processes.children(of: server.process, named: "sshd")
        }
    }

    /// What brings the next revision to the host.
    private var command: Command {
        let image = lab.desk.appending(MachineLab.name("1.\(revision)"))
        return Command(
            LinkedControl.program.string,
            [
                "machine", "upgrade", image.string, "--root", lab.root.string, "--chunk-size", "32768", "--keep", "2",
                "--host", "127.0.0.1:\(server.port)", "--host-program", LinkedControl.program.string,
                "--known-hosts", server.knownHosts.string, "--identity", server.clientKey.string,
                "--ssh-config", server.host.configurationFile?.string ?? "/dev/null",
                "--compress", isCompressed ? "always" : "never",
            ]
        )
    }
}
