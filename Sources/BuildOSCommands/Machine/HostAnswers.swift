import ArgumentParser
import BuildOSKit
import FoundationEssentials
import Glibc
import Synchronization

/// What came of a command on one host, as `--format json` prints it, and as one buildosctl tells another.
struct HostAnswer<Answer: Codable & Sendable>: Codable, Sendable {
    let host: String
    let result: Answer?
    let error: MachineError?
}

extension HostAnswer {
    init(host: String, _ result: Result<Answer, MachineError>) {
        self.host = host
        switch result {
        case .success(let answer): (self.result, error) = (answer, nil)
        case .failure(let failure): (self.result, error) = (nil, failure)
        }
    }
}

/// Does one thing on this machine, or on many hosts at once by their own buildosctl.
struct HostFanOut: Sendable {
    let hosts: HostOptions
    let modules: ModuleOptions
    /// Whether it takes root where it is done.
    let needsRoot: Bool

    /// - Parameters:
    ///   - arguments: what does it on another host, `machine` and `--format json` left out.
    ///   - timeLimit: on each host.
    ///   - local: does it on this machine.
    func run<Answer: Codable & Sendable>(
        _ arguments: [String],
        timeLimit: Duration? = nil,
        as type: Answer.Type,
        local: @escaping @Sendable (any MachineStorage) async throws(MachineError) -> Answer
    ) async throws -> [HostAnswer<Answer>] {
        let registry = modules.load().registry
        let places = try Place.all(hosts, registry)
        let full =
            ["machine"] + arguments + ["--volume", try hosts.volumeName().text] + hosts.rootArguments
            + ["--format", "json"]
        var answers = [HostAnswer<Answer>?](repeating: nil, count: places.count)
        try await withThrowingTaskGroup(of: (Int, HostAnswer<Answer>).self) { group in
            for (index, place) in places.enumerated() {
                group.addTask {
                    if place.isRemote {
                        let program = Command(hosts.hostProgram, full)
                        let answer = await ask(place, program, timeLimit, as: type)
                        await place.transport.close()
                        return (index, HostAnswer(host: place.label, answer))
                    }
                    if needsRoot, geteuid() != 0 {
                        let sudo = Command("sudo", ["-n", HostProcess.executable.string] + full)
                        let answer = await ask(place, sudo, timeLimit, as: type)
                        return (index, HostAnswer(host: place.label, answer))
                    }
                    let storage = try registry.machineStorage(named: "btrfs").makeStorage()
                    let answer: Result<Answer, MachineError>
                    do throws(MachineError) { answer = .success(try await local(storage)) } catch {
                        answer = .failure(error)
                    }
                    return (index, HostAnswer(host: place.label, answer))
                }
            }
            for try await (index, answer) in group { answers[index] = answer }
        }
        return answers.compactMap { $0 }
    }

    private func ask<Answer: Codable & Sendable>(
        _ place: Place,
        _ command: Command,
        _ timeLimit: Duration?,
        as type: Answer.Type
    ) async -> Result<Answer, MachineError> {
        let last = LastLine()
        do {
            let result = try await place.transport.run(
                command,
                input: .none,
                output: .collected(limit: 16 << 20),
                error: .lines { line in
                    last.set(line)
                    if line.hasPrefix(Self.progressMark) { Messages.tell("\(place.label): \(line.dropFirst(2))") }
                },
                timeLimit: timeLimit
            )
            if let answers = try? JSONDecoder().decode([HostAnswer<Answer>].self, from: Data(result.output)),
                let answer = answers.first
            {
                if let error = answer.error { return .failure(error) }
                if let result = answer.result { return .success(result) }
            }
            let isMissing = result.status == .exited(127)
            return .failure(
                MachineError(
                    .transport,
                    "'\(command)' on \(place.label)",
                    cause: "\(result.status)" + (last.text.isEmpty ? "" : ": \(last.text)"),
                    remedy: isMissing
                        ? "install Build OS there, or say with --host-program where its buildosctl is" : nil
                )
            )
        } catch {
            return .failure(MachineError(error, subject: place.label))
        }
    }

    /// How a line of progress on standard error begins when one buildosctl runs another.
    static let progressMark = "# "
}

/// Prints what came of a command on its hosts, and says with which status to exit.
enum Answers {
    static func show<Answer>(
        _ answers: [HostAnswer<Answer>],
        _ format: FormatOptions,
        text: (Answer) -> String
    ) throws {
        switch format.format {
        case .json: try format.printJSON(answers)
        case .text:
            for answer in answers {
                let several = answers.count > 1 || answer.host != Place.thisMachine
                if let result = answer.result {
                    let lines = text(result).split(separator: "\n", omittingEmptySubsequences: false)
                    if several, lines.count > 1 {
                        print("\(answer.host):\n" + lines.map { $0.isEmpty ? "" : "  \($0)" }.joined(separator: "\n"))
                    } else {
                        print((several ? "\(answer.host): " : "") + lines.joined(separator: "\n"))
                    }
                }
                if let error = answer.error { Messages.tell("\(answer.host): \(error)") }
            }
        }
        fflush(nil)
        try exit(failures: answers.compactMap(\.error), of: answers.count)
    }

    /// Ends the command as its failures ask for: with 75 (EX_TEMPFAIL of sysexits.h) if another run may go well.
    static func exit(failures: [MachineError], of count: Int) throws {
        guard !failures.isEmpty else { return }
        if count > 1 {
            Messages.tell("\(failures.count) of \(count) hosts failed; the others are done. Run it again for these.")
        }
        let passing: Set<MachineError.Kind> = [.busy, .timedOut, .interrupted]
        throw ExitCode(failures.allSatisfy { passing.contains($0.kind) } ? 75 : 1)
    }
}

/// What is said beside the results: on standard error.
enum Messages {
    static func tell(_ text: String) {
        let line = text + "\n"
        _ = try? FileDescriptor.standardError.writeAll(line.utf8)
    }
}

/// The last line that a program wrote.
private final class LastLine: Sendable {
    private let line = Mutex("")
    func set(_ text: String) { line.withLock { $0 = String(text.prefix(300)) } }
    var text: String { line.withLock { $0 } }
}
