import BuildOSKit
import TestSupport

/// The modules that `make` staged, loaded into the test runner once.
enum LoadedModules {
    static let inventory = ModuleLoader.loadAll(
        ModuleSearchPath(
            commandLine: [StagedTree.modules.string],
            environment: nil,
            executable: "/nonexistent/bin/test-runner"
        )
    )
}
