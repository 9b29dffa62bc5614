/// Where modules are looked for, in order (DESIGN, "Modules").
public struct ModuleSearchPath: Sendable, Hashable {
    /// The directories; those that don't exist are passed over, unless named by the operator.
    public let directories: [Directory]

    /// A directory to search.
    public struct Directory: Sendable, Hashable {
        /// Where it is.
        public let path: FilePath
        /// Whether the operator named it, so that its absence is an error.
        public let isExplicit: Bool
    }

    /// Builds the list: the directories given on the command line, those in the colon-separated value of
    /// `BUILDOS_MODULE_PATH`, the executable's own directory, `<prefix>/lib/buildos/modules`.
    public init(commandLine: [String], environment: String?, executable: FilePath) {
        let beside = executable.removingLastComponent()
        let explicit = commandLine + (environment?.split(separator: ":").map(String.init) ?? [])
        directories =
            explicit.map { Directory(path: FilePath($0), isExplicit: true) }
            + [
                Directory(path: beside, isExplicit: false),
                Directory(
                    path: beside.removingLastComponent().appending("lib/buildos/modules"),
                    isExplicit: false
                ),
            ]
    }

    /// The search path for this process.
    public static func current(commandLine: [String] = []) -> ModuleSearchPath {
        ModuleSearchPath(
            commandLine: commandLine,
            environment: HostProcess.environmentVariable("BUILDOS_MODULE_PATH"),
            executable: HostProcess.executable
        )
    }
}
