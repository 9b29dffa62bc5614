import ArgumentParser
import BuildOSKit

/// `buildosctl image`
struct ImageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image",
        abstract: "Make the OS image, and boot it for trial.",
        subcommands: [ImageBuildCommand.self, ImageBootCommand.self]
    )
}

extension KernelFlavour: ExpressibleByArgument {}
