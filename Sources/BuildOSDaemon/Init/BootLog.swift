import BuildOSKit
import Glibc
import Synchronization

/// What the set-up says while it works: one line for each step, on the console and kept for later, and reports for the
/// monitor.
final class BootLog: Sendable {
    private struct State {
        var lines: [String] = []
        var reports: [HostReport] = []
    }

    private let state = Mutex(State())

    /// Says a line, with the time since the kernel started.
    func say(_ text: String) {
        let line = "[\(Self.shown(Self.sinceKernelStart(), width: 9))] buildos: \(text)\n"
        state.withLock { $0.lines.append(line) }
        _ = try? FileDescriptor.standardOutput.writeAll(line.utf8)
    }

    /// Runs a step and says how it came out and how long it took.
    ///
    /// - Parameter body: returns what there is to say about the result.
    func step(_ name: String, _ body: () async throws -> String) async rethrows {
        let clock = ContinuousClock()
        let start = clock.now
        do {
            let result = try await body()
            say("\(name): \(result) (\(Self.shown(start.duration(to: clock.now))) s)")
        } catch {
            say("\(name): failed after \(Self.shown(start.duration(to: clock.now))) s: \(error)")
            throw error
        }
    }

    /// Says something that the operator must hear of, and leaves it for the monitor; reports of one subject become one.
    func report(_ report: HostReport) {
        state.withLock { state in
            let same = state.reports.firstIndex { $0.kind == report.kind && $0.subject == report.subject }
            if let same {
                let text = state.reports[same].text + "\n" + report.text
                state.reports[same] = HostReport(report.kind, subject: report.subject, text: text)
            } else {
                state.reports.append(report)
            }
        }
        say("\(report.kind.rawValue): \(report.subject): \(report.text.split(separator: "\n").joined(separator: "; "))")
    }

    /// What was said so far.
    var text: String { state.withLock { $0.lines.joined() } }

    /// What was reported so far.
    var reports: [HostReport] { state.withLock { $0.reports } }

    private static func sinceKernelStart() -> Duration {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }

    /// Seconds with two decimal places.
    private static func shown(_ duration: Duration, width: Int = 0) -> String {
        let hundredths = duration.components.seconds * 100 + duration.components.attoseconds / 10_000_000_000_000_000
        let fraction = hundredths % 100
        let text = "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)"
        return String(repeating: " ", count: max(0, width - text.count)) + text
    }
}
