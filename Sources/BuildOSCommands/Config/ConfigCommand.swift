import ArgumentParser

/// `buildosctl config`
struct ConfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "Work with the kernel command line that configures a host.",
        subcommands: [ConfigCheckCommand.self, ConfigParametersCommand.self]
    )
}
