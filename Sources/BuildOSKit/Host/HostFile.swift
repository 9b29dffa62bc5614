/// A file of the host's set-up, as a renderer makes it.
public struct HostFile: Sendable, Hashable {
    /// Where it goes: absolute.
    public let path: FilePath
    /// What is in it.
    public let content: String
    /// Who may do what with it.
    public let permissions: FilePermissions
    /// Whether it belongs to user and group build, as does its directory; else to root.
    public let isOwnedByBuild: Bool

    /// Creates a file.
    public init(
        _ path: FilePath,
        permissions: FilePermissions = [.ownerReadWrite, .groupRead, .otherRead],
        isOwnedByBuild: Bool = false,
        _ content: String
    ) {
        self.path = path
        self.content = content
        self.permissions = permissions
        self.isOwnedByBuild = isOwnedByBuild
    }
}
