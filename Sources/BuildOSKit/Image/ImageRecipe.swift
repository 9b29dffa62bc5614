/// What of Debian goes into an image: the texts in `share/buildos/os`, as values.
public struct ImageRecipe: Sendable, Hashable {
    /// The packages, without the kernel.
    public let packages: [String]
    /// dpkg's path filters, in order.
    public let filters: [PathFilter]
    /// The kernel modules that stage 1 loads, before what needs them.
    public let stage1Modules: [String]

    /// A rule for the files that dpkg unpacks (dpkg(1), `--path-exclude`, `--path-include`).
    public enum PathFilter: Sendable, Hashable {
        case exclude(String)
        case include(String)

        /// As an option in dpkg's configuration file.
        public var option: String {
            switch self {
            case .exclude(let pattern): "path-exclude=\(pattern)"
            case .include(let pattern): "path-include=\(pattern)"
            }
        }
    }

    /// Creates a recipe from its texts: one entry a line, blank lines and lines that begin with `#` passed over.
    ///
    /// - Throws: ``ImageBuildError`` for a name that can't be a Debian package's, or a pattern that isn't absolute.
    public init(packages: String, exclude: String, modules: String) throws(ImageBuildError) {
        self.packages = Self.entries(packages)
        for name in self.packages where !Self.isPackageName(name) {
            throw ImageBuildError(.badRecipe(file: "packages", entry: name, expected: "the name of a Debian package"))
        }
        var filters: [PathFilter] = []
        for entry in Self.entries(exclude) {
            let isInclude = entry.hasPrefix("+")
            let pattern = isInclude ? String(entry.dropFirst()) : entry
            guard pattern.hasPrefix("/"), !pattern.contains(where: \.isWhitespace) else {
                throw ImageBuildError(.badRecipe(file: "exclude", entry: entry, expected: "an absolute path pattern"))
            }
            filters.append(isInclude ? .include(pattern) : .exclude(pattern))
        }
        self.filters = filters
        self.stage1Modules = Self.entries(modules)
    }

    /// Reads the recipe from the directory that `make` stages as `share/buildos/os`, or the one for build machines in it.
    ///
    /// - Parameter packages: more packages.
    /// - Throws: ``FileError``, ``ImageBuildError``
    public init(directory: FilePath, adding packages: [String] = []) throws {
        try self.init(
            packages: FileTree.readText(directory.appending("packages")) + "\n" + packages.joined(separator: "\n"),
            exclude: FileTree.readText(directory.appending("exclude")),
            modules: FileTree.readText(directory.appending("initramfs/modules"))
        )
    }

    static func entries(_ text: String) -> [String] {
        text.split(whereSeparator: \.isNewline).map { line in
            let start = line.drop(while: \.isWhitespace)
            let count = start.reversed().drop(while: \.isWhitespace).count
            return String(start.prefix(count))
        }
        .filter { !$0.isEmpty && !$0.hasPrefix("#") }
    }

    /// Debian policy, 5.6.1: lower-case letters, digits, `+`, `-`, `.`; at least two, the first a letter or digit.
    private static func isPackageName(_ name: String) -> Bool {
        guard name.utf8.count >= 2, let first = name.utf8.first else { return false }
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        }
        return isAlphanumeric(first) && name.utf8.allSatisfy { isAlphanumeric($0) || "+-.".utf8.contains($0) }
    }
}

/// Which of Debian's kernels an image has.
public enum KernelFlavour: String, Sendable, CaseIterable {
    /// For virtual machines: virtio, NVMe and the cloud providers' devices; smaller.
    case cloud
    /// For any machine.
    case generic

    /// The package that depends on the current version.
    public var package: String {
        switch self {
        case .cloud: "linux-image-cloud-amd64"
        case .generic: "linux-image-amd64"
        }
    }
}
