import BuildOSKit
import Glibc

/// What a host wrote to its serial console.
struct SerialLog: Sendable {
    let path: FilePath

    var text: String { get throws { FileTree.exists(path) ? try FileTree.readText(path, limit: 64 << 20) : "" } }

    func contains(_ text: String) throws -> Bool { try self.text.contains(text) }

    /// Lines that tell of something that must not happen on a host: panics, oopses, crashed programs, failed units.
    var alarms: [String] {
        get throws { Self.alarms(in: try text) }
    }

    static func alarms(in text: String) -> [String] {
        let signs = [
            "Kernel panic", "Oops", "BUG:", "general protection", "Call Trace", "Unable to mount root",
            "segfault", "trap invalid opcode", "Fatal error:", "Out of memory", "oom-kill", "oom_reaper",
            "[FAILED]", "Failed to start", "Failed to mount", "Dependency failed", "entered failed state",
            "Failed with result", "EXT4-fs error", "BTRFS error", "stage 1 failed", "Freezing execution",
        ]
        return text.split(whereSeparator: \.isNewline)
            .map { plain($0) }
            .filter { line in signs.contains { line.contains($0) } }
    }

    /// A line without the terminal's colours and movements.
    private static func plain(_ line: Substring) -> String {
        var result = ""
        var rest = line[...]
        while let escape = rest.firstIndex(of: "\u{1B}") {
            result += rest[..<escape]
            rest = rest[escape...].dropFirst()
            guard rest.first == "[" else { continue }
            rest = rest.dropFirst().drop { !$0.isLetter }.dropFirst()
        }
        return result + rest
    }
}
