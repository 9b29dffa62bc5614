import ArgumentParser
import BuildOSKit

/// `buildosctl backends`
struct BackendsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backends",
        abstract: "List the backends found, from where, what they can do and what they miss.",
        discussion: """
            Exits with 0 if every module found could be loaded, with 1 otherwise. What a backend misses on this machine \
            is shown with the remedy but does not change the exit status: 'buildosctl doctor' is for that.
            """
    )

    @OptionGroup var modules: ModuleOptions

    /// How it is printed.
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case text, json, markdown
    }

    @Option(help: "How to print: text for people, json for scripts, markdown for the capabilities side by side.")
    var format: Format = .text

    func run() async throws {
        let inventory = modules.load()
        let report = await report(on: inventory)
        switch format {
        case .json: try FormatOptions.printJSON(report)
        case .text: print(report.text, terminator: "")
        case .markdown:
            print(BackendMatrix.markdown(of: inventory.registry.providers), terminator: "")
            for problem in inventory.problems {
                _ = try? FileDescriptor.standardError.writeAll("buildosctl backends: \(problem)\n".utf8)
            }
        }
        if !report.problems.isEmpty { throw ExitCode(1) }
    }

    private func report(on inventory: ModuleInventory) async -> BackendsReport {
        var report = BackendsReport(modules: [], problems: [])
        for module in inventory.modules {
            var entry = BackendsReport.Module(name: module.name, file: module.file.string, backends: [])
            for identity in module.backends {
                guard let provider = inventory.registry.providers.first(where: { $0.identity == identity }) else {
                    continue
                }
                entry.backends.append(
                    BackendsReport.Entry(
                        name: identity.name,
                        interface: identity.interface,
                        summary: identity.summary,
                        capabilities: provider.capabilityListing,
                        preflight: await provider.preflight()
                    )
                )
            }
            report.modules.append(entry)
        }
        report.problems = inventory.problems.map {
            BackendsReport.Problem(file: $0.file.string, cause: $0.cause, remedy: $0.remedy)
        }
        return report
    }
}

/// What `buildosctl backends` shows.
struct BackendsReport: Codable {
    struct Module: Codable {
        let name: String
        let file: String
        var backends: [Entry]
    }

    struct Entry: Codable {
        let name: String
        let interface: BackendInterface
        let summary: String
        let capabilities: [Capability]
        let preflight: [PreflightFinding]
    }

    struct Problem: Codable {
        let file: String
        let cause: String
        let remedy: String?
    }

    var modules: [Module]
    var problems: [Problem]

    var text: String {
        var lines: [String] = []
        for module in modules {
            for backend in module.backends {
                lines.append("\(backend.name) (\(backend.interface.rawValue)): \(backend.summary)")
                lines.append("    from  \(module.file)")
                lines.append(
                    "    can   " + backend.capabilities.map { "\($0.name): \($0.value)" }.joined(separator: ", ")
                )
                if backend.preflight.isEmpty { lines.append("    ready on this machine") }
                for finding in backend.preflight {
                    lines.append("    misses \(finding.problem)")
                    lines.append("    remedy \(finding.remedy)")
                }
            }
        }
        if modules.isEmpty { lines.append("No backend module was found.") }
        for problem in problems {
            lines.append("not loaded: \(problem.file)")
            lines.append("    cause  \(problem.cause)")
            if let remedy = problem.remedy { lines.append("    remedy \(remedy)") }
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
