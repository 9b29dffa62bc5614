import ArgumentParser
import BuildOSKit

/// Where backends are loaded from.
struct ModuleOptions: ParsableArguments {
    @Option(
        name: .customLong("module-path"),
        help: ArgumentHelp(
            "Search this directory for backend modules first; may be repeated.",
            discussion: """
                After these come the directories in BUILDOS_MODULE_PATH, the one that holds this program, and \
                <prefix>/lib/buildos/modules.
                """,
            valueName: "directory"
        )
    )
    var modulePath: [String] = []

    func load() -> ModuleInventory { Self.load(.current(commandLine: modulePath)) }

    /// What is linked into this program, or else what modules there are.
    static func load(_ searchPath: ModuleSearchPath) -> ModuleInventory {
        BuildOSControl.linkedBackends.map { ModuleInventory(linked: $0) } ?? ModuleLoader.loadAll(searchPath)
    }
}
