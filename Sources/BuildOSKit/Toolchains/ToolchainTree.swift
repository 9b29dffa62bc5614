import Glibc

/// What a published set holds besides the files themselves (TOOL-2; manual, "Toolchains").
enum ToolchainTree {
    /// The checksums file a set was made from. Hidden, as machines have no use for it.
    static let checksumsName = ".checksums"

    /// Adds the predictable names, `version` and `trust`. The store makes it all durable.
    static func finish(
        _ directory: FilePath,
        _ snapshot: ChecksumsSnapshot,
        version: ToolchainVersion,
        _ source: ToolchainSource
    ) throws(FileError) {
        for entry in snapshot.file.entries {
            guard let name = entry.predictableName else { continue }
            let link = directory.appending(name)
            guard symlink(entry.fileName, link.string) == 0 else {
                throw FileError("make the link", link, Errno(rawValue: errno))
            }
        }
        try write("\(version)\n".utf8, to: directory.appending("version"))
        try write("\(source.trust)\n".utf8, to: directory.appending("trust"))
        try write(snapshot.bytes, to: directory.appending(checksumsName))
    }

    private static func write(_ bytes: some Sequence<UInt8>, to path: FilePath) throws(FileError) {
        do {
            let file = try FileDescriptor.open(
                path,
                .writeOnly,
                options: [.create, .exclusiveCreate, .noFollow, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead, .otherRead]
            )
            _ = try file.closeAfter { try file.writeAll(bytes) }
        } catch {
            throw FileError("write", path, error as? Errno ?? .ioError)
        }
    }

    /// Whether two sets that hold the same files differ in names, links, `version`, `trust` or checksums.
    static func differs(_ one: FilePath, _ other: FilePath) -> Bool {
        guard let first = description(of: one), let second = description(of: other) else { return true }
        return first != second
    }

    private static func description(of directory: FilePath) -> [String: [UInt8]]? {
        guard let names = try? FileTree.names(in: directory) else { return nil }
        var described: [String: [UInt8]] = [:]
        for name in names {
            let path = directory.appending(name)
            if let target = linkTarget(path) {
                described[name] = Array("-> \(target)".utf8)
            } else if ["version", "trust", checksumsName].contains(name) {
                guard let bytes = try? FileTree.read(path, limit: ChecksumsFile.maximumBytes) else { return nil }
                described[name] = bytes
            } else {
                described[name] = []
            }
        }
        return described
    }

    private static func linkTarget(_ path: FilePath) -> String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(path.string, &buffer, buffer.count)
        return count < 0 ? nil : String(decoding: buffer.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
