import BuildOSKit
import Glibc
import Synchronization

/// A disk as it would have been found had the power been cut at some moment.
struct DiskMoment: Sendable {
    let file: FilePath
    /// What the sender had shown last.
    let after: String
}

/// Runs an upload to a host, and copies a disk of the host whenever a step begins, and between the steps when there is
/// something new on it.
struct DiskWatch: Sendable {
    let host: VirtualHost
    let disk: Disk
    /// How many copies are made at most.
    let limit: Int

    /// - Returns: the moments, the last of which is after the end.
    /// - Throws: ``LabError`` if the upload fails.
    func moments(of upload: Command, named name: String) async throws -> [DiskMoment] {
        let cord = try host.powerCord()
        let shown = Mutex("the start")
        let isOver = Mutex(false)
        async let sent: CommandResult = {
            defer { isOver.withLock { $0 = true } }
            return try await host.lab.transport.run(
                upload,
                input: .none,
                output: .collected(limit: 1 << 20),
                error: .lines { line in
                    shown.withLock { $0 = line }
                    cord.hold()
                },
                timeLimit: .seconds(240)
            )
        }()
        var moments: [DiskMoment] = []
        var (seen, known) = ("", try lastWrite())
        while !isOver.withLock({ $0 }) {
            let now = shown.withLock { $0 }
            // The step may have been shown while the one before was looked at: then the host stands still already.
            let isNew = try lastWrite() != known
            if now != seen || (isNew && moments.count < limit) {
                moments.append(try await moment("\(name)-\(moments.count)", after: now, cord))
                (seen, known) = (now, try lastWrite())
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        let result = try await sent
        guard result.status.isSuccess else {
            throw LabError("the upload of \(name) ended with \(result.status), after '\(shown.withLock { $0 })'")
        }
        moments.append(try await moment("\(name)-end", after: "the end", cord))
        return moments
    }

    /// Copies the disk as it is now.
    func moment(_ name: String, after shown: String, _ cord: PowerCord) async throws -> DiskMoment {
        let copy = host.lab.directory.appending("\(name).img")
        try await cord.still {
            _ = try await host.lab.transport.check(Command("cp", ["--sparse=auto", disk.file.string, copy.string]))
        }
        return DiskMoment(file: copy, after: shown)
    }

    /// When something was written to the disk (stat(2)), in nanoseconds.
    private func lastWrite() throws -> Int {
        var status = stat()
        guard stat(disk.file.string, &status) == 0 else { throw Errno(rawValue: errno) }
        return status.st_mtim.tv_sec * 1_000_000_000 + status.st_mtim.tv_nsec
    }
}
