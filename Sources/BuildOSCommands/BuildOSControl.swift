import ArgumentParser

/// `buildosctl`: the operator's command.
public struct BuildOSControl: AsyncParsableCommand {
    public static let configuration = CommandConfiguration(
        commandName: "buildosctl",
        abstract: "Make, check and run Build OS hosts.",
        discussion: """
            Build OS lives in RAM, boots over the network and builds software by itself. buildosctl makes its image, \
            says what a kernel command line will do before you boot with it, and shows what a host is doing.
            """,
        subcommands: [
            BackendsCommand.self,
            ConfigCommand.self,
            ConformanceCommand.self,
            DoctorCommand.self,
            ImageCommand.self,
            StatusCommand.self,
        ]
    )

    public init() {}
}
