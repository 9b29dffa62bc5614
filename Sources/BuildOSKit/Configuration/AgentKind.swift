/// Which program a toolchain's agents are.
public enum AgentKind: String, Sendable, Hashable, CaseIterable, Codable, CustomStringConvertible {
    /// The toolchain's own, from its bot package.
    case bbot
    /// This system's, `buildosd agent`.
    case builtin

    public var description: String { rawValue }

    /// What the names of its systemd units begin with (TOOL-7).
    public var unit: String {
        switch self {
        case .bbot: "bbot-agent"
        case .builtin: "buildos-agent"
        }
    }
}

/// The decision which agents a toolchain has.
public struct AgentChoice: Sendable, Hashable {
    /// Which.
    public let kind: AgentKind
    /// Why, to stand after "because".
    public let reason: String

    /// Creates a choice.
    public init(_ kind: AgentKind, because reason: String) {
        self.kind = kind
        self.reason = reason
    }
}

extension Toolchain {
    /// The agents it may come to have.
    public var possibleAgents: [AgentKind] { agent.map { [$0] } ?? AgentKind.allCases }
}
