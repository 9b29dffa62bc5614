import ArgumentParser

/// `buildosd`: what runs on a build host.
public struct BuildOSDaemon: AsyncParsableCommand {
    public static let configuration = CommandConfiguration(
        commandName: "buildosd",
        abstract: "The programs of a build host.",
        subcommands: [AgentCommand.self, InitCommand.self, MonitorCommand.self, PrivilegedCommand.self]
    )

    public init() {}
}
