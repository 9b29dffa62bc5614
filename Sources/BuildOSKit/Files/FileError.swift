/// A file operation that the system refused.
public struct FileError: DiagnosableError, Hashable {
    /// What was attempted: `write`, `remove`, …
    public let operation: String
    /// The file.
    public let path: FilePath
    /// The system's reason.
    public let errno: Errno

    /// Creates an error.
    public init(_ operation: String, _ path: FilePath, _ errno: Errno) {
        self.operation = operation
        self.path = path
        self.errno = errno
    }

    public var subject: String { path.string }
    public var cause: String { "can't \(operation): \(errno)" }
    public var remedy: String? {
        switch errno {
        case .noSpace: "make room on that file system"
        case .permissionDenied, .notPermitted: "check who owns it, or run as root"
        case .readOnlyFileSystem: "that file system is mounted read-only"
        default: nil
        }
    }
}
