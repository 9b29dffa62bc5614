import Glibc
import Synchronization

/// A log file that can't fill the disk: its beginning, and, when that was too much, its end.
final class BoundedLog: Sendable {
    private struct State {
        var file: FileDescriptor?
        var written = 0
        var dropped = 0
        var lastLines: [String] = []

        mutating func write(_ line: String) {
            // A log that can't be written, on a full disk, must not end what it is the log of.
            let bytes = Array("\(line)\n".utf8)
            _ = try? file?.writeAll(bytes)
            written += bytes.count
        }
    }

    private let state: Mutex<State>
    private let limit: Int
    /// How many lines of the end are kept in memory.
    private static let tail = 400

    /// Starts a log; the one that is there becomes `<path>.1`.
    ///
    /// - Parameter limit: most bytes of the log's beginning.
    init(_ path: FilePath, limit: Int) throws(FileError) {
        try FileTree.makeDirectory(path.removingLastComponent())
        do {
            guard rename(path.string, "\(path).1") == 0 || errno == ENOENT else { throw Errno(rawValue: errno) }
            let file = try FileDescriptor.open(
                path,
                .writeOnly,
                options: [.create, .truncate, .append, .noFollow, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead, .otherRead]
            )
            state = Mutex(State(file: file))
        } catch {
            throw FileError("write", path, error as? Errno ?? .ioError)
        }
        self.limit = limit
    }

    deinit { close() }

    func append(_ line: String) {
        state.withLock { state in
            state.lastLines.append(String(line.prefix(2000)))
            if state.lastLines.count > Self.tail { state.lastLines.removeFirst(state.lastLines.count - Self.tail) }
            guard state.written + line.utf8.count < limit else {
                state.dropped += 1
                return
            }
            state.write(line)
        }
    }

    /// The last lines that hold anything.
    func lastLines(_ count: Int) -> [String] {
        state.withLock { state in
            Array(state.lastLines.filter { !$0.allSatisfy(\.isWhitespace) }.suffix(count))
        }
    }

    /// Writes the end of what was too much, and closes the file.
    func close() {
        state.withLock { state in
            if state.dropped > 0 {
                let kept = min(state.dropped, state.lastLines.count)
                state.write("[\(state.dropped - kept) lines left out]")
                for line in state.lastLines.suffix(kept) { state.write(line) }
            }
            state.dropped = 0
            try? state.file?.close()
            state.file = nil
        }
    }
}
