import ArgumentParser
import BuildOSKit

/// `buildosctl doctor`
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Say what is missing on this machine, and how to mend it.",
        discussion: """
            Asks every backend found what it misses, and looks for what buildosctl's own commands need. Changes nothing.

            Exits with 0 if everything is ready; with 1 if some backend or command isn't, while every interface has a \
            backend that is; with 2 if a module can't be loaded, or an interface has no backend that is ready.
            """
    )

    @OptionGroup var modules: ModuleOptions
    @OptionGroup var format: FormatOptions

    func run() async throws {
        let inventory = modules.load()
        let diagnosis = await Diagnosis(
            of: inventory.registry.providers,
            problems: inventory.problems,
            commands: CommandNeeds.ofControl(prefix: HostProcess.prefix)
        )
        switch format.format {
        case .text: print(DoctorListing(diagnosis).text, terminator: "")
        case .json: try format.printJSON(DoctorRecord(diagnosis))
        }
        switch diagnosis.verdict {
        case .healthy: break
        case .limited: throw ExitCode(1)
        case .ailing: throw ExitCode(2)
        }
    }
}

/// A diagnosis as `--format json` prints it.
struct DoctorRecord: Codable {
    let verdict: Diagnosis.Verdict
    let entries: [Diagnosis.Entry]

    init(_ diagnosis: Diagnosis) {
        verdict = diagnosis.verdict
        entries = diagnosis.entries
    }
}

/// A diagnosis for a reader.
struct DoctorListing {
    let diagnosis: Diagnosis

    init(_ diagnosis: Diagnosis) { self.diagnosis = diagnosis }

    var text: String {
        var lines: [String] = []
        for entry in diagnosis.entries {
            lines.append("\(entry.isReady ? "ready  " : "MISSES ") \(entry.kind.rawValue) \(entry.name)")
            for finding in entry.findings {
                lines.append("          problem  \(finding.problem)")
                lines.append("          remedy   \(finding.remedy)")
            }
        }
        lines.append(summary)
        return lines.joined(separator: "\n") + "\n"
    }

    private var summary: String {
        let lame = diagnosis.entries.count { !$0.isReady }
        return switch diagnosis.verdict {
        case .healthy: "Everything is ready."
        case .limited:
            "Every interface has a backend that is ready; \(lame) of \(diagnosis.entries.count) entries miss something."
        case .ailing: "Not everything can work: \(lame) of \(diagnosis.entries.count) entries miss something."
        }
    }
}
