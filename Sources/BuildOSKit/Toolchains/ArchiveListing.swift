/// What `tar --list --verbose` says of an archive, checked before anything is unpacked.
///
/// Accepted are regular files, directories, and links that stay inside the archive's one top directory. With
/// `--quoting-style=escape` every entry is one line, whatever its name holds.
struct ArchiveListing {
    /// The one directory that holds everything.
    let top: String

    struct Refusal: Error, Equatable {
        let reason: String
    }

    /// Most entries; a real archive has some 20,000.
    static let maximumEntries = 400_000
    /// Most bytes of all files together.
    static let maximumBytes: Int64 = 8 << 30

    /// Options of tar under which its listing can be read back.
    static let tarOptions = [
        "--list", "--verbose", "--numeric-owner", "--full-time", "--quoting-style=escape", "--absolute-names",
    ]

    init(_ text: String) throws(Refusal) {
        var checker = Checker()
        for line in text.split(separator: "\n") { try checker.add(line) }
        guard let top = checker.top else { throw Refusal(reason: "it is empty") }
        try checker.checkLinks()
        self.top = String(top)
    }
}

extension ArchiveListing {
    private typealias Path = [Substring]

    private struct Checker {
        var top: Substring?
        private var links: Set<Path> = []
        private var paths: [Path] = []
        private var bytes: Int64 = 0

        mutating func add(_ line: Substring) throws(Refusal) {
            // -rw-r--r-- 0/0   1234 2023-11-14 22:13:20 name
            let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
            guard fields.count == 6, let kind = fields[0].first, let size = Int64(fields[2]) else {
                throw Refusal(reason: "tar listed '\(line.prefix(200))', which can't be understood")
            }
            guard paths.count < ArchiveListing.maximumEntries else {
                throw Refusal(reason: "it has more than \(ArchiveListing.maximumEntries) entries")
            }
            switch kind {
            case "-", "d":
                bytes += max(0, size)
                guard bytes <= ArchiveListing.maximumBytes else {
                    throw Refusal(reason: "its files are larger than \(ArchiveListing.maximumBytes >> 30) GiB")
                }
                try note(fields[5])
            case "l": try addSymbolicLink(fields[5])
            case "h": try addHardLink(fields[5])
            default:
                throw Refusal(reason: "'\(fields[5])' is neither a file nor a directory nor a link")
            }
        }

        private mutating func addSymbolicLink(_ text: Substring) throws(Refusal) {
            let (name, target) = try split(text, " -> ")
            guard let path = try note(name) else { throw Refusal(reason: "'\(name)' is a link") }
            guard links.insert(path).inserted else { throw Refusal(reason: "'\(name)' is in it twice") }
            let outside = Refusal(reason: "the link '\(name)' leads out of its directory, to '\(target)'")
            guard !target.hasPrefix("/"), !target.isEmpty else { throw outside }
            let components = target.split(separator: "/").filter { $0 != "." }
            let ascents = components.prefix { $0 == ".." }.count
            // After a name that may be a link itself, '..' can lead anywhere.
            guard !components.dropFirst(ascents).contains("..") else { throw outside }
            // The directory of `top/a/link` is one below the top, which is as far up as it may lead.
            guard ascents <= path.count - 2 else { throw outside }
        }

        private mutating func addHardLink(_ text: Substring) throws(Refusal) {
            let (name, target) = try split(text, " link to ")
            try note(name)
            // Its target is a path of the archive, not one relative to the link.
            guard try note(target) != nil else {
                throw Refusal(reason: "the link '\(name)' leads to '\(target)'")
            }
        }

        private func split(_ text: Substring, _ separator: String) throws(Refusal) -> (Substring, Substring) {
            let parts = text.split(separator: separator, omittingEmptySubsequences: false)
            guard parts.count == 2 else { throw Refusal(reason: "the link '\(text)' can't be understood") }
            return (parts[0], parts[1])
        }

        /// Takes a path in; `nil` for the archive's own root, `./`.
        @discardableResult
        private mutating func note(_ text: Substring) throws(Refusal) -> Path? {
            guard !text.hasPrefix("/") else { throw Refusal(reason: "the path '\(text)' is absolute") }
            let components = text.split(separator: "/").filter { $0 != "." }
            guard !components.contains("..") else {
                throw Refusal(reason: "the path '\(text)' leads out of its directory")
            }
            guard let first = components.first else { return nil }
            guard top == nil || top == first else {
                throw Refusal(reason: "it has more than one top directory: '\(top ?? "")' and '\(first)'")
            }
            top = first
            paths.append(components)
            return components
        }

        /// Nothing may be unpacked through a link or over one.
        func checkLinks() throws(Refusal) {
            guard !links.isEmpty else { return }
            for path in paths {
                for length in 1..<max(1, path.count) where links.contains(Array(path.prefix(length))) {
                    throw Refusal(reason: "the path '\(path.joined(separator: "/"))' leads through a link")
                }
            }
            let others = paths.filter { links.contains($0) }
            guard others.count == links.count else {
                throw Refusal(reason: "a link is in it twice, or also as something else")
            }
        }
    }
}
