import BuildOSKit
import Glibc
import Synchronization

/// Shows how far uploads are, on standard error: a line for each host that is drawn anew on a terminal, else a line for
/// each step.
final class UploadDisplay: Sendable {
    private struct Host {
        let label: String
        var words = "connecting"
        var progress: UploadProgress?
        var began: ContinuousClock.Instant?
    }
    private struct State {
        var hosts: [Host]
        var drawn: ContinuousClock.Instant?
        var lines = 0
    }
    private let state: Mutex<State>
    private let isTerminal: Bool
    private let isQuiet: Bool

    init(hosts: [String], isTerminal: Bool, isQuiet: Bool) {
        state = Mutex(State(hosts: hosts.map { Host(label: $0) }))
        self.isTerminal = isTerminal
        self.isQuiet = isQuiet
    }

    func show(_ label: String, _ event: UploadEvent) {
        guard !isQuiet else { return }
        state.withLock { state in
            guard let index = state.hosts.firstIndex(where: { $0.label == label }) else { return }
            var isNews = true
            switch event {
            case .planned(let plan, let compression): state.hosts[index].words = UploadSummary.text(plan, compression)
            case .step(let step):
                state.hosts[index].words = UploadSummary.text(step)
                if step != .receive { state.hosts[index].progress = nil }
            case .progress(let progress):
                isNews = false
                state.hosts[index].progress = progress
                if state.hosts[index].began == nil { state.hosts[index].began = .now }
            }
            if isTerminal {
                draw(&state, force: isNews)
            } else if isNews {
                Messages.tell("\(label): \(state.hosts[index].words)")
            }
        }
    }

    /// Leaves the lines as they are.
    func finish() {
        guard isTerminal, !isQuiet else { return }
        state.withLock { draw(&$0, force: true) }
    }

    private func draw(_ state: inout State, force: Bool) {
        if !force, let drawn = state.drawn, drawn.duration(to: .now) < .milliseconds(200) { return }
        state.drawn = .now
        // Up to the first line, and each line anew (ECMA-48, CUU and EL).
        var text = state.lines > 0 ? "\u{1b}[\(state.lines)A" : ""
        let width = state.hosts.map(\.label.count).max() ?? 0
        for host in state.hosts {
            let label = host.label + String(repeating: " ", count: width - host.label.count)
            text += "\u{1b}[2K\(label)  \(host.progress.map { Self.text($0, since: host.began) } ?? host.words)\n"
        }
        state.lines = state.hosts.count
        _ = try? FileDescriptor.standardError.writeAll(text.utf8)
    }

    private static func text(_ progress: UploadProgress, since began: ContinuousClock.Instant?) -> String {
        let done = progress.sent + progress.resumed
        var parts = [progress.total.map { "\(ByteCount(done)) of \(ByteCount(max($0, done)))" } ?? "\(ByteCount(done))"]
        if let began {
            let seconds = max(0.001, began.duration(to: .now) / .seconds(1))
            let rate = Double(progress.sent) / seconds
            parts.append("\(ByteCount(Int64(rate)))/s")
            if let total = progress.total, rate > 0, total > done {
                parts.append("\(Int((Double(total - done) / rate).rounded(.up))) s left")
            }
        }
        if progress.resumed > 0 { parts.append("\(ByteCount(progress.resumed)) were there") }
        return parts.joined(separator: ", ")
    }
}

/// What is said of an upload.
enum UploadSummary {
    static func text(_ plan: UploadPlan, _ compression: StreamCompression) -> String {
        let packed = compression == .none ? "" : ", compressed with \(compression.rawValue)"
        return switch plan.action {
        case .nothing: "\(plan.image) is there and in effect"
        case .activate: "\(plan.image) is there; it is made the one in effect"
        case .full: "sending all of \(plan.image)\(packed)"
        case .incremental: "sending what of \(plan.image) differs from \(plan.base ?? "its base")\(packed)"
        }
    }

    static func text(_ step: MachineStep) -> String {
        switch step {
        case .clean: "removing what earlier uploads left"
        case .receive: "receiving"
        case .stage: "making a snapshot"
        case .own: "giving it to user build"
        case .place: "putting it into its place"
        case .activate: "switching the link"
        case .tidy: "tidying up"
        case .done: "done"
        }
    }

    /// What came of an upload that went well.
    static func text(_ report: UploadReport) -> String {
        guard let plan = report.plan else { return "nothing to do" }
        guard let receipt = report.receipt else {
            let bytes = report.bytes.map { ": \($0) bytes (\(ByteCount($0)))" } ?? ""
            let would =
                switch plan.action {
                case .nothing: "would do nothing: \(plan.image) is there and in effect"
                case .activate: "would make \(plan.image), which is there, the one in effect"
                case .full: "would send all of \(plan.image)\(bytes)"
                case .incremental: "would send what of \(plan.image) differs from \(plan.base ?? "its base")\(bytes)"
                }
            let packed =
                report.compression == .none ? "" : ", before it is compressed with \(report.compression.rawValue)"
            return would + packed
        }
        var parts: [String] = []
        if receipt.received + receipt.resumed > 0 {
            let resumed = receipt.resumed > 0 ? ", \(ByteCount(receipt.resumed)) had arrived before" : ""
            parts.append("\(ByteCount(receipt.received)) sent\(resumed)")
        }
        switch (receipt.now, receipt.before) {
        case (plan.image.revision, plan.image.revision): parts.append("it was in effect")
        case (plan.image.revision, let before?): parts.append("in effect in place of \(before)")
        case (plan.image.revision, nil): parts.append("in effect")
        case (let now, _): parts.append("in effect is \(now?.description ?? "nothing")")
        }
        if !receipt.pruned.isEmpty {
            parts.append("removed \(receipt.pruned.map(\.description).joined(separator: " "))")
        }
        return "\(plan.image): \(parts.joined(separator: "; "))"
    }
}
