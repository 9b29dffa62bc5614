/// Which tasks an agent takes: those that stop somewhere for somebody to log in, the others, or both (bbot-agent(1),
/// `--interactive`).
public enum InteractiveMode: String, Sendable, Hashable, CaseIterable, Codable {
    case no = "false"
    case yes = "true"
    case both

    /// Whether a task is one of those.
    public func admits(interactive: Bool) -> Bool {
        switch self {
        case .no: !interactive
        case .yes: interactive
        case .both: true
        }
    }
}
