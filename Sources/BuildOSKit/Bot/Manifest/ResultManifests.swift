/// How an operation of a build, or all of it, came out; the later, the worse (build2-facts, 2.5).
public enum ResultStatus: String, Sendable, Hashable, Codable, CaseIterable, Comparable {
    case skip, success, warning, error, abort, abnormal, interrupt

    private var severity: Int { Self.allCases.firstIndex(of: self) ?? 0 }

    public static func < (left: Self, right: Self) -> Bool { left.severity < right.severity }
}

/// What came out of a build (build2-facts, 2.5).
public struct BuildResult: Sendable, Hashable {
    /// One step of a build.
    public struct Operation: Sendable, Hashable {
        /// `configure`, `update`, `test` and so on.
        public var name: String
        /// How it came out.
        public var status: ResultStatus
        /// What it said.
        public var log: String?

        /// Creates a description of a step.
        public init(_ name: String, _ status: ResultStatus, log: String? = nil) {
            self.name = name
            self.status = status
            self.log = log
        }
    }

    /// The package.
    public var name: String
    /// Its version.
    public var version: String
    /// How all of it came out.
    public var status: ResultStatus
    /// The steps in their order.
    public var operations: [Operation]
    /// What the packages that it depends on were.
    public var dependencyChecksum: String?
    /// What the worker was.
    public var workerChecksum: String?

    /// Creates a result.
    public init(name: String, version: String, status: ResultStatus, operations: [Operation] = []) {
        self.name = name
        self.version = version
        self.status = status
        self.operations = operations
    }

    /// What an agent reports when a worker couldn't: one `configure` that failed.
    ///
    /// - Parameter status: `abort` if the fault was this host's, `abnormal` if the worker died or took too long,
    ///   `interrupt` if it was stopped.
    public static func ofAgent(_ task: BuildTask, _ status: ResultStatus, _ reason: String) -> BuildResult {
        BuildResult(
            name: task.name,
            version: task.version,
            status: status,
            operations: [Operation("configure", status, log: "error: \(reason)\n")]
        )
    }

    /// Takes what a worker sent.
    ///
    /// - Throws: ``ManifestError``
    public init(_ manifest: Manifest, source: String) throws(ManifestError) {
        name = try manifest.required("name", in: source)
        version = try manifest.required("version", in: source)
        status = try Self.status(try manifest.required("status", in: source), "status", source)
        operations = []
        for pair in manifest.pairs {
            if pair.name.hasSuffix("-status") {
                let name = String(pair.name.dropLast("-status".count))
                guard !name.isEmpty, !operations.contains(where: { $0.name == name }) else {
                    throw ManifestError(source, pair.position, "'\(pair.name)' a second time")
                }
                operations.append(Operation(name, try Self.status(pair.value, pair.name, source)))
            } else if pair.name.hasSuffix("-log") {
                let name = String(pair.name.dropLast("-log".count))
                guard let index = operations.firstIndex(where: { $0.name == name }), operations[index].log == nil else {
                    throw ManifestError(source, pair.position, "'\(pair.name)' without a status, or a second time")
                }
                operations[index].log = pair.value
            }
        }
        dependencyChecksum = manifest["dependency-checksum"]
        workerChecksum = manifest["worker-checksum"]
    }

    /// The manifest. What a log holds that a manifest can't is replaced.
    public var manifest: Manifest {
        var manifest = Manifest([
            ManifestPair("name", name), ManifestPair("version", version), ManifestPair("status", status.rawValue),
        ])
        for operation in operations { manifest.add("\(operation.name)-status", operation.status.rawValue) }
        for operation in operations { manifest.add("\(operation.name)-log", operation.log.map(ManifestText.sanitised)) }
        manifest.add("dependency-checksum", dependencyChecksum)
        manifest.add("worker-checksum", workerChecksum)
        return manifest
    }

    /// Cuts logs, each in its middle and by the same share, until all together have at most a number of bytes.
    public mutating func limitLogs(bytes limit: Int) {
        let total = operations.reduce(0) { $0 + ($1.log?.utf8.count ?? 0) }
        guard total > limit else { return }
        for index in operations.indices {
            guard let log = operations[index].log else { continue }
            let half = max(0, log.utf8.count * limit / total / 2 - 40)
            operations[index].log =
                String(decoding: log.utf8.prefix(half), as: UTF8.self)
                + "\n[\(log.utf8.count - 2 * half) bytes left out]\n"
                + String(decoding: log.utf8.suffix(half), as: UTF8.self)
        }
    }

    private static func status(_ text: String, _ name: String, _ source: String) throws(ManifestError) -> ResultStatus {
        guard let status = ResultStatus(rawValue: text) else {
            throw ManifestError(source, nil, "\(name): '\(text.prefix(40))' is not a status")
        }
        return status
    }
}

/// A result on its way to a controller (build2-facts, 2.5).
public struct ResultRequest: Sendable, Hashable {
    /// The session of the task.
    public var session: String
    /// The signed challenge, Base64; there exactly if the response had a challenge.
    public var challenge: String?
    /// What kind of agent did it.
    public var agentChecksum: String?
    /// The result.
    public var result: BuildResult

    /// Creates a request.
    public init(session: String, challenge: String? = nil, agentChecksum: String? = nil, result: BuildResult) {
        self.session = session
        self.challenge = challenge
        self.agentChecksum = agentChecksum
        self.result = result
    }

    /// The request and the result.
    public var manifests: [Manifest] {
        var request = Manifest([ManifestPair("session", session)])
        request.add("challenge", challenge)
        request.add("agent-checksum", agentChecksum)
        return [request, result.manifest]
    }
}
