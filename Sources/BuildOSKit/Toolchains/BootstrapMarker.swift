import Glibc

/// The file that says what a prefix holds; written when all else is done, so that a monitor that is started
/// again doesn't build again.
///
/// It counts within one boot only: another boot may be of another OS, with other libraries.
struct BootstrapMarker {
    private let path: FilePath
    private let agent: FilePath
    private let identity: [String]

    init(_ toolchain: PublishedToolchain, _ options: BootstrapOptions, _ layout: ToolchainLayout) {
        path = layout.marker(toolchain.name)
        agent = layout.agent(toolchain.name)
        let boot = try? FileTree.readText("/proc/sys/kernel/random/boot_id").prefix { !$0.isNewline }
        identity = [
            "boot \(boot ?? "unknown")",
            "id \(toolchain.id.algorithm.rawValue) \(toolchain.id.hexadecimal)",
            "version \(toolchain.version)",
            "trust \(toolchain.trust)",
            "compiler \(options.compiler)",
            "repository \(options.repository ?? "embedded")",
        ]
    }

    /// What the agent said of its version, if the prefix holds this very toolchain, whole.
    func agentVersion() -> String? {
        guard let text = try? FileTree.readText(path) else { return nil }
        var lines = text.split(separator: "\n").map(String.init)
        guard let last = lines.popLast(), lines == identity, last.hasPrefix("agent "),
            access(agent.string, X_OK) == 0
        else { return nil }
        return String(last.dropFirst("agent ".count))
    }

    func write(agentVersion: String) throws(FileError) {
        try FileTree.write((identity + ["agent \(agentVersion)", ""]).joined(separator: "\n"), to: path)
    }
}
