/// An agent's question for a task (build2-facts, 2.2).
public struct TaskRequest: Sendable, Hashable {
    /// The host's name.
    public var agent: String
    /// The toolchain.
    public var toolchainName: ToolchainName
    /// Its version.
    public var toolchainVersion: String
    /// Which tasks it takes.
    public var interactiveMode = InteractiveMode.no
    /// How one logs in to an interactive build; there unless the mode is `no`.
    public var interactiveLogin: String?
    /// SHA-256 of the agent's public key, 64 lower-case hexadecimal digits.
    public var fingerprint: String?
    /// RAM for auxiliary machines.
    public var auxiliaryRAM: MemorySize?
    /// The machines at hand, the first that fits is taken; at least one.
    public var machines: [MachineHeader]

    /// Creates a request.
    public init(
        agent: String,
        toolchainName: ToolchainName,
        toolchainVersion: String,
        machines: [MachineHeader],
        fingerprint: String? = nil,
        auxiliaryRAM: MemorySize? = nil
    ) {
        self.agent = agent
        self.toolchainName = toolchainName
        self.toolchainVersion = toolchainVersion
        self.machines = machines
        self.fingerprint = fingerprint
        self.auxiliaryRAM = auxiliaryRAM
    }

    /// The request and the machines, in the order in which controllers expect them.
    public var manifests: [Manifest] {
        var request = Manifest([
            ManifestPair("agent", agent), ManifestPair("toolchain-name", toolchainName.text),
            ManifestPair("toolchain-version", toolchainVersion),
        ])
        if interactiveMode != .no { request.add("interactive-mode", interactiveMode.rawValue) }
        request.add("interactive-login", interactiveLogin)
        request.add("fingerprint", fingerprint)
        request.add("auxiliary-ram", auxiliaryRAM.map { "\($0.kibibytes)" })
        return [request] + machines.map(\.manifest)
    }
}

/// A controller's answer to a ``TaskRequest`` (build2-facts, 2.3).
public struct TaskResponse: Sendable, Hashable {
    /// What a task comes with.
    public struct Assignment: Sendable, Hashable {
        /// Sent back with the result as it is.
        public var session: String
        /// To be signed with the agent's key: 64 hexadecimal digits.
        public var challenge: String?
        /// Where the result goes.
        public var resultURL: ResourceURL
        /// Where files go, by type.
        public var uploadURLs: [String: ResourceURL]
        /// The agent's checksum at the last build of the same.
        public var agentChecksum: String?
        /// The task.
        public var task: BuildTask
    }

    /// The task; `nil` if there is none.
    public var assignment: Assignment?

    /// Takes an answer.
    ///
    /// - Throws: ``ManifestError``
    public init(_ manifests: [Manifest], source: String) throws(ManifestError) {
        guard let response = manifests.first else { throw ManifestError(source, nil, "there is no manifest in it") }
        let session = try response.required("session", in: source)
        if session.isEmpty {
            guard manifests.count == 1 else { throw ManifestError(source, nil, "a task without a session") }
            assignment = nil
            return
        }
        guard manifests.count == 2 else {
            throw ManifestError(source, nil, "\(manifests.count) manifests, not a response and a task")
        }
        let challenge = response["challenge"]
        if let challenge, challenge.utf8.count != 64 || !challenge.allSatisfy(\.isHexDigit) {
            throw ManifestError(source, nil, "the challenge is not 64 hexadecimal digits")
        }
        var uploads: [String: ResourceURL] = [:]
        for pair in response.pairs where pair.name.hasSuffix("-upload-url") {
            uploads[String(pair.name.dropLast("-upload-url".count))] = try Self.url(pair.value, pair.name, source)
        }
        assignment = Assignment(
            session: session,
            challenge: challenge,
            resultURL: try Self.url(try response.required("result-url", in: source), "result-url", source),
            uploadURLs: uploads,
            agentChecksum: response["agent-checksum"],
            task: try BuildTask(manifests[1], source: source)
        )
    }

    private static func url(_ text: String, _ name: String, _ source: String) throws(ManifestError) -> ResourceURL {
        do throws(ResourceURL.ParseError) {
            let url = try ResourceURL(text)
            guard url.scheme == .http || url.scheme == .https else {
                throw ResourceURL.ParseError(text: text, cause: "the scheme is neither http nor https")
            }
            return url
        } catch {
            throw ManifestError(source, nil, "\(name): \(error.cause)")
        }
    }
}

/// What is to be built (build2-facts, 2.4): kept as it came, but for what is the agent's to change.
public struct BuildTask: Sendable, Hashable {
    /// The manifest.
    public private(set) var manifest: Manifest
    /// The package.
    public let name: String
    /// Its version.
    public let version: String
    /// The machine to build it in.
    public let machine: String
    /// The target, a triplet.
    public let target: String
    /// Auxiliary machines by their names in the environment; the empty name for one without.
    public let auxiliaryMachines: [String: String]
    /// Where to stop for somebody to log in.
    public let interactive: String?

    /// Takes a task.
    ///
    /// - Throws: ``ManifestError``
    public init(_ manifest: Manifest, source: String) throws(ManifestError) {
        self.manifest = manifest
        name = try manifest.required("name", in: source)
        version = try manifest.required("version", in: source)
        _ = try manifest.required("repository-url", in: source)
        machine = try manifest.required("machine", in: source)
        target = try manifest.required("target", in: source)
        interactive = manifest["interactive"]
        var auxiliaries: [String: String] = [:]
        for pair in manifest.pairs {
            if pair.name == "auxiliary-machine" {
                auxiliaries[""] = pair.value
            } else if pair.name.hasPrefix("auxiliary-machine-") {
                auxiliaries[String(pair.name.dropFirst("auxiliary-machine-".count))] = pair.value
            }
        }
        guard auxiliaries.count <= GuestNumber.maximumAuxiliaries else {
            throw ManifestError(source, nil, "more than \(GuestNumber.maximumAuxiliaries) auxiliary machines")
        }
        auxiliaryMachines = auxiliaries
    }

    /// The task as the worker gets it (build2-facts, 2.4 and 2.7).
    ///
    /// - Parameters:
    ///   - trusted: the certificates that the host's configuration lets tasks trust; others are taken out.
    ///   - keepsChecksums: whether the last build was done by an agent of the same kind, so that what it found still holds.
    ///   - auxiliaryEnvironment: what auxiliary machines said.
    public func forWorker(
        trusted: [CertificateFingerprint],
        keepsChecksums: Bool,
        auxiliaryEnvironment: String? = nil
    ) -> Manifest {
        var manifest = Manifest(
            manifest.pairs.filter { pair in
                switch pair.name {
                case "trust": (try? CertificateFingerprint(pair.value)).map(trusted.contains) ?? false
                case "dependency-checksum", "worker-checksum": keepsChecksums
                case "auxiliary-environment": false
                default: true
                }
            }
        )
        manifest.add("auxiliary-environment", auxiliaryEnvironment)
        return manifest
    }
}
