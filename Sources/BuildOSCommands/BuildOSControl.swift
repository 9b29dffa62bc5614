import ArgumentParser
import BuildOSKit

/// `buildosctl`: the operator's command.
public struct BuildOSControl: AsyncParsableCommand {
    public static let configuration = CommandConfiguration(
        commandName: "buildosctl",
        abstract: "Make, check and run Build OS hosts.",
        discussion: """
            Build OS lives in RAM, boots over the network and builds software by itself. buildosctl makes its image, \
            says what a kernel command line will do before you boot with it, shows what a host is doing, and brings build \
            machines to hosts.
            """,
        subcommands: [
            BackendsCommand.self,
            ConfigCommand.self,
            ConformanceCommand.self,
            DoctorCommand.self,
            DrainCommand.self,
            ImageCommand.self,
            LoginMachineCommand.self,
            MachineCommand.self,
            RemoveMachineCommand.self,
            ResumeCommand.self,
            StatusCommand.self,
            UploadMachineCommand.self,
        ]
    )

    public init() {}

    /// The backends of a program that links them; `nil` for one that loads modules.
    @TaskLocal static var linkedBackends: BackendRegistry?

    /// Runs as the program was called, with backends that are linked into it in place of modules.
    public static func runAsCalled(linking backends: BackendRegistry) async {
        await $linkedBackends.withValue(backends) { await runAsCalled() }
    }

    /// Runs as the program was called: under the name of one of the manual's helper scripts, as that (MACH-8).
    public static func runAsCalled() async {
        let arguments = Array(CommandLine.arguments.dropFirst())
        let called = FilePath(CommandLine.arguments.first ?? "").lastComponent?.string ?? ""
        await main(Self.arguments(arguments, calledAs: called))
    }

    static func arguments(_ arguments: [String], calledAs name: String) -> [String] {
        ["upload-machine", "remove-machine", "login-machine"].contains(name) ? [name] + arguments : arguments
    }
}
