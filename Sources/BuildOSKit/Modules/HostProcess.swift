import Glibc

/// Facts about this process.
public enum HostProcess {
    /// The running program's file.
    public static var executable: FilePath {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        guard count > 0 else { return FilePath(CommandLine.arguments.first ?? "/") }
        return FilePath(String(decoding: buffer.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self))
    }

    /// The directory that holds the program's `bin`, `lib` and `share`.
    public static var prefix: FilePath { executable.removingLastComponent().removingLastComponent() }

    /// The value of an environment variable; `nil` if it isn't set.
    public static func environmentVariable(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }
}
