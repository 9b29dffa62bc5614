import Glibc

/// `<volume>/.uploads/`: the locks, journals and spools of a volume's machines. Hidden, so that nobody takes it for one.
public struct UploadArea: Sendable {
    /// The directory.
    public let directory: FilePath

    /// How long a spool waits for its upload to go on, by its file's time; one from the future is young.
    static let spoolLifetime: Duration = .seconds(7 * 24 * 3600)

    /// Creates a view of a volume's area, which need not be there.
    public init(volume: FilePath) { directory = volume.appending(".uploads") }

    func prepare() throws(FileError) { try FileTree.makeDirectory(directory, permissions: .ownerReadWriteExecute) }

    func lock(_ machine: MachineName) -> FilePath { directory.appending("\(machine).lock") }

    /// The journal of what was done with a machine.
    public func journal(_ machine: MachineName) -> FilePath { directory.appending("\(machine).journal") }

    func spool(_ image: MachineImage, _ id: UInt64) -> FilePath {
        directory.appending("\(image).\(String(id, radix: 16)).spool")
    }

    /// Removes the spools of a machine but one, and those of other machines that nobody came back for.
    func removeSpools(of machine: MachineName, except kept: FilePath?) throws(FileError) {
        try removeOldSpools()
        for name in try FileTree.names(in: directory) where name.hasSuffix(".spool") {
            let path = directory.appending(name)
            guard path != kept else { continue }
            let image = name.split(separator: ".").dropLast(2).joined(separator: ".")
            if (try? MachineImage(image))?.machine == machine { try FileTree.remove(path) }
        }
    }

    /// Removes the spools that nobody came back for.
    func removeOldSpools() throws(FileError) {
        for name in try FileTree.names(in: directory) where name.hasSuffix(".spool") {
            if Self.age(of: directory.appending(name)) > Self.spoolLifetime {
                try FileTree.remove(directory.appending(name))
            }
        }
    }

    /// Removes what is kept of a machine that is no more. The lock must be held.
    func forget(_ machine: MachineName) throws(FileError) {
        try removeSpools(of: machine, except: nil)
        try FileTree.remove(journal(machine))
        try FileTree.remove(lock(machine))
    }

    private static func age(of path: FilePath) -> Duration {
        var status = stat()
        guard lstat(path.string, &status) == 0 else { return .zero }
        return .seconds(time(nil) - status.st_mtim.tv_sec)
    }
}

/// Held by whoever changes a machine; the system lets go of it when its holder ends, however that happens (flock(2)).
final class MachineLock: Sendable {
    private let file: FileDescriptor

    /// Takes the lock of a machine; blocks for up to some time if somebody else has it.
    ///
    /// - Throws: ``MachineError`` of kind `busy` if somebody else has it.
    init(
        _ area: UploadArea,
        _ machine: MachineName,
        purpose: String,
        patience: Duration = .zero
    ) throws(MachineError) {
        let start = ContinuousClock.now
        let path = area.lock(machine)
        do {
            try area.prepare()
            while true {
                let file = try FileDescriptor.open(
                    path,
                    .readWrite,
                    options: [.create, .noFollow, .closeOnExec],
                    permissions: .ownerReadWrite
                )
                guard flock(file.rawValue, LOCK_EX | LOCK_NB) == 0 else {
                    let reason = Errno(rawValue: errno)
                    let holder = (try? FileTree.readText(path, limit: 4096)) ?? ""
                    try? file.close()
                    guard reason == .wouldBlock else { throw FileError("lock", path, reason) }
                    if start.duration(to: .now) < patience {
                        usleep(50_000)
                        continue
                    }
                    throw MachineError(
                        .busy,
                        "machine '\(machine)'",
                        cause: "it is being changed: \(printable(holder.trimmedLine))",
                        remedy: "wait until that has ended, then run it again"
                    )
                }
                // Between opening and locking, the file may have been removed with its machine.
                if Self.isSame(file, path) {
                    self.file = file
                    break
                }
                try? file.close()
            }
        } catch {
            throw MachineError(error, subject: path.string)
        }
        let holder = "\(purpose), process \(getpid()), since \(Timestamp.now)\n"
        _ = ftruncate(file.rawValue, 0)
        _ = try? file.writeAll(toAbsoluteOffset: 0, holder.utf8)
    }

    deinit { try? file.close() }

    private static func isSame(_ file: FileDescriptor, _ path: FilePath) -> Bool {
        var (opened, named) = (stat(), stat())
        return fstat(file.rawValue, &opened) == 0 && lstat(path.string, &named) == 0
            && opened.st_dev == named.st_dev && opened.st_ino == named.st_ino
    }
}

extension String {
    fileprivate var trimmedLine: String { String(prefix { !$0.isNewline }) }
}

/// What was done with a machine, a line for each step, written before the step is taken.
///
/// For people, and for tests that interrupt. What has to be done after a crash is read from the volume itself.
struct MachineJournal: Sendable {
    private let path: FilePath
    /// What is kept of an old journal, and how long one may become, in bytes.
    private static let (kept, limit) = (64 << 10, 256 << 10)

    init(_ area: UploadArea, _ machine: MachineName) { path = area.journal(machine) }

    /// Adds a line. That a journal can't be written keeps nothing from being done.
    func note(_ what: String) {
        if let content = try? FileTree.read(path, limit: Self.limit * 4), content.count > Self.limit {
            try? FileTree.write(content.suffix(Self.kept).drop { $0 != UInt8(ascii: "\n") }.dropFirst(), to: path)
        }
        guard
            let file = try? FileDescriptor.open(
                path,
                .writeOnly,
                options: [.append, .create, .noFollow, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead, .otherRead]
            )
        else { return }
        _ = try? file.closeAfter { try file.writeAll("\(Timestamp.now) \(getpid()) \(what)\n".utf8) }
    }
}
