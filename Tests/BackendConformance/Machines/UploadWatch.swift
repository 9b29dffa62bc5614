import BuildOSKit
import Glibc

/// Sees what a receiver does to a volume's `.uploads/`, write by write (inotify(7)): its journal, its spool, its lock. So
/// interruptions happen at places, not at times.
final class UploadWatch: Sendable {
    private let inotify: Int32
    private let journal: FilePath

    /// Watches a directory, which must be there.
    init(_ directory: FilePath, machine: String) throws {
        inotify = inotify_init1(Int32(IN_CLOEXEC))
        guard inotify >= 0, inotify_add_watch(inotify, directory.string, UInt32(IN_MODIFY | IN_CREATE | IN_DELETE)) >= 0
        else { throw Errno(rawValue: errno) }
        journal = directory.appending("\(machine).journal")
    }

    deinit { close(inotify) }

    /// Where to interrupt.
    enum Place: Sendable, CustomStringConvertible {
        /// When a line of the journal ends with this.
        case step(String)
        /// At this many writes.
        case write(Int)

        var description: String {
            switch self {
            case .step(let step): "step \(step)"
            case .write(let count): "write \(count)"
            }
        }
    }

    /// Waits until a place is reached; gives up when a descriptor becomes readable, which says that all is over.
    ///
    /// - Returns: whether it was reached.
    func wait(for place: Place, orUntil over: Int32) async -> Bool {
        await DedicatedThread.run(name: "upload-watch") { [self] in
            var (writes, buffer) = (0, [UInt8](repeating: 0, count: 64 << 10))
            let known = (try? FileTree.read(journal).count) ?? 0
            while true {
                var requests = [
                    pollfd(fd: inotify, events: Int16(POLLIN), revents: 0),
                    pollfd(fd: over, events: Int16(POLLIN), revents: 0),
                ]
                poll(&requests, 2, -1)
                if requests[0].revents == 0 { return false }
                let count = read(inotify, &buffer, buffer.count)
                guard count > 0 else { return false }
                writes += Self.events(buffer.prefix(count))
                switch place {
                case .write(let wanted): if writes >= wanted { return true }
                case .step(let step):
                    let text = String(decoding: ((try? FileTree.read(journal)) ?? []).dropFirst(known), as: UTF8.self)
                    if text.split(separator: "\n").contains(where: { $0.hasSuffix(" \(step)") }) { return true }
                }
            }
        }
    }

    /// How many events are in what was read: each has 16 bytes, the last four of which say how long its name is.
    private static func events(_ bytes: ArraySlice<UInt8>) -> Int {
        var (count, rest) = (0, bytes)
        while rest.count >= 16 {
            let length = rest.dropFirst(12).prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
            rest = rest.dropFirst(16 + length)
            count += 1
        }
        return count
    }
}
