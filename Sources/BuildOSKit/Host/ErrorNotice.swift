/// What an operator reads about a command line that isn't right: on the console, after login, in a file, by mail (CONF-4).
public enum ErrorNotice {
    /// Where the errors stand on the booted host.
    public static let file: FilePath = "/run/buildos/config-errors.txt"

    /// The lines about errors of the command line and of sharing out resources; none if there are none.
    public static func lines(_ parsed: ParsedConfiguration, resources: [ResourceProblem]) -> [String] {
        let errors = parsed.errors.map { "error: \($0)" } + resources.map { "error: \($0)" }
        return errors + parsed.warnings.map { "warning: \($0)" }
    }

    /// `/etc/motd`: who this is, and what is wrong with its configuration.
    public static func greeting(hostName: HostName, lines: [String]) -> HostFile {
        var text = "Build OS on \(hostName). 'buildosctl status' says what it is doing.\n"
        if !lines.isEmpty {
            text += "\nThe kernel command line isn't right (\(file)):\n" + lines.map { "  \($0)\n" }.joined()
        }
        return HostFile("/etc/motd", text)
    }

    /// Reports for the monitor.
    public static func reports(_ parsed: ParsedConfiguration, resources: [ResourceProblem]) -> [HostReport] {
        var reports: [HostReport] = []
        if !parsed.errors.isEmpty {
            reports.append(
                HostReport(
                    .configuration,
                    subject: parsed.errors.count == 1
                        ? "an error in the kernel command line"
                        : "\(parsed.errors.count) errors in the kernel command line",
                    text: parsed.errors.map { "\($0)" }.joined(separator: "\n")
                )
            )
        }
        if !resources.isEmpty {
            reports.append(
                HostReport(
                    .resources,
                    subject: "no agents: CPUs and RAM can't be shared out",
                    text: resources.map { "\($0)" }.joined(separator: "\n")
                )
            )
        }
        return reports
    }
}
