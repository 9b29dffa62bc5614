import BuildOSKit

/// The tree that `make` stages: the programs and modules as they are installed.
public enum StagedTree {
    /// The checkout.
    public static var checkout: FilePath {
        FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
    }

    /// `build/`
    public static var root: FilePath { checkout.appending("build") }

    /// `build/lib/buildos/modules/`
    public static var modules: FilePath { root.appending("lib/buildos/modules") }

    /// `build/bin/<name>`
    public static func program(_ name: String) -> FilePath { root.appending("bin").appending(name) }
}
