/// The directory in a temporary snapshot through which an agent and its guest give each other files. It goes with the
/// snapshot, and lies on the machines' disk, not in RAM.
struct GuestExchange: Sendable, Hashable {
    static let directoryName = ".buildos"
    /// The most that a guest can hand over in one file.
    static let maximumFile: Int64 = 256 << 20

    let directory: FilePath

    init(in snapshot: FilePath) { directory = snapshot.appending(Self.directoryName) }

    /// What the guest can read.
    var get: FilePath { directory.appending("get") }
    /// What it has written.
    var put: FilePath { directory.appending("put") }
    /// What it said on its serial console.
    var console: FilePath { directory.appending("console.log") }

    /// Makes it, empty.
    func make() throws(FileError) {
        try FileTree.remove(directory)
        try FileTree.makeDirectory(get)
        try FileTree.makeDirectory(put)
    }

    func uploads(_ names: Set<String>) -> UploadRules {
        UploadRules(directory: put, names: names, maximumBytes: Self.maximumFile)
    }

    /// The last lines of the console, for a report: at most a few KiB.
    func consoleEnd() -> String {
        guard let file = try? FileDescriptor.open(console, .readOnly, options: .closeOnExec) else { return "" }
        defer { try? file.close() }
        guard let size = try? file.seek(offset: 0, from: .end) else { return "" }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let start = max(0, size - Int64(buffer.count))
        guard let count = try? buffer.withUnsafeMutableBytes({ try file.read(fromAbsoluteOffset: start, into: $0) })
        else { return "" }
        let text = String(decoding: buffer.prefix(count), as: UTF8.self)
        return text.split(whereSeparator: \.isNewline).suffix(20).joined(separator: "\n")
    }
}
