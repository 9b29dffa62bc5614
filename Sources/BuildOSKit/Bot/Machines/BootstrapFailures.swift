import FoundationEssentials

/// How the bootstraps of a machine failed, noted where all instances see it: so that it is not tried again at once, and
/// mailed once (BOT-4).
struct BootstrapFailures: Sendable, Hashable, Codable {
    /// What was bootstrapped: another image, or another toolchain, begins anew.
    var subject: String
    /// How often it failed in a row.
    var count: Int
    /// Why, the last time.
    var reason: String
    /// When it may be tried again.
    var nextTry: Timestamp

    /// Reads a note; `nil` if there is none, or it is about something else.
    static func read(_ file: FilePath, subject: String) -> BootstrapFailures? {
        guard let bytes = try? FileTree.read(file),
            let note = try? JSONDecoder().decode(BootstrapFailures.self, from: Data(bytes)), note.subject == subject
        else { return nil }
        return note
    }

    /// Notes a failure.
    static func add(_ reason: String, subject: String, to file: FilePath, now: Timestamp) -> BootstrapFailures {
        var generator = SeededGenerator(seed: UInt64.random(in: .min ... .max))
        let count = (read(file, subject: subject)?.count ?? 0) + 1
        let pause = BackOff(first: .seconds(60), limit: .seconds(3600)).delay(afterFailures: count, using: &generator)
        let note = BootstrapFailures(subject: subject, count: count, reason: reason, nextTry: now.advanced(by: pause))
        if let bytes = try? JSONEncoder().encode(note) { try? FileTree.write(Array(bytes), to: file) }
        return note
    }
}
