import FoundationEssentials

/// Something that the set-up found and that the operator must hear of: the monitor mails it and shows it in its status.
public struct HostReport: Sendable, Hashable, Codable {
    /// What part of the set-up it is about.
    public enum Kind: String, Sendable, Hashable, Codable, CaseIterable {
        /// Errors of the kernel command line.
        case configuration
        /// CPUs and RAM that can't be shared out.
        case resources
        /// The state disk or the machines' disks.
        case storage
        /// The network.
        case network
        /// Another step of the set-up failed.
        case setup
    }

    /// What it is about.
    public let kind: Kind
    /// One line, without the host's name.
    public let subject: String
    /// What happened, why, and what to do; may have several lines.
    public let text: String

    /// Creates a report.
    public init(_ kind: Kind, subject: String, text: String) {
        self.kind = kind
        self.subject = subject
        self.text = text
    }

    /// Where reports are left for the monitor.
    public static let directory: FilePath = "/run/buildos/reports"

    /// Leaves reports in a directory, one file each, replacing what an earlier call left there.
    ///
    /// - Throws: ``FileError``
    public static func write(_ reports: [HostReport], to directory: FilePath = directory) throws(FileError) {
        try FileTree.makeDirectory(directory)
        for (number, report) in reports.enumerated() {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            guard let data = try? encoder.encode(report) else { continue }
            try FileTree.write(Array(data), to: directory.appending("\(number + 1)-\(report.kind.rawValue).json"))
        }
    }

    /// Reads the reports in a directory, in the order in which they were left; what isn't one is passed over.
    public static func read(from directory: FilePath = directory) -> [HostReport] {
        guard let names = try? FileTree.names(in: directory) else { return [] }
        let numbered = names.compactMap { name -> (Int, String)? in
            guard name.hasSuffix(".json"), let number = Int(name.prefix { $0 != "-" }) else { return nil }
            return (number, name)
        }
        return numbered.sorted { $0.0 < $1.0 }.compactMap { _, name in
            guard let bytes = try? FileTree.read(directory.appending(name)) else { return nil }
            return try? JSONDecoder().decode(HostReport.self, from: Data(bytes))
        }
    }
}
