/// What controllers are told of a machine (build2-facts, 2.2).
public struct MachineHeader: Sendable, Hashable {
    /// What a machine is for.
    public enum Role: String, Sendable, Hashable, Codable { case build, auxiliary }

    /// Which image it is: changes with every change of it.
    public var id: String
    /// The name by which tasks ask for it.
    public var name: String
    /// In a line.
    public var summary: String
    /// What it is for.
    public var role: Role
    /// The least RAM it works with.
    public var minimumRAM: MemorySize?
    /// The most it can make use of.
    public var maximumRAM: MemorySize?

    /// Creates a header.
    public init(id: String, name: String, summary: String, role: Role = .build) {
        self.id = id
        self.name = name
        self.summary = summary
        self.role = role
    }

    /// Takes a header from a manifest; names it doesn't know are passed over.
    ///
    /// - Throws: ``ManifestError``
    public init(_ manifest: Manifest, source: String) throws(ManifestError) {
        id = try manifest.required("id", in: source)
        name = try manifest.required("name", in: source)
        summary = try manifest.required("summary", in: source)
        guard !id.isEmpty, !name.isEmpty else { throw ManifestError(source, nil, "its id or its name is empty") }
        guard let role = Role(rawValue: manifest["role"] ?? Role.build.rawValue) else {
            throw ManifestError(source, nil, "its role is neither build nor auxiliary")
        }
        self.role = role
        minimumRAM = try Self.ram(manifest, "ram-minimum", source)
        maximumRAM = try Self.ram(manifest, "ram-maximum", source)
        if let minimumRAM, let maximumRAM, maximumRAM < minimumRAM {
            throw ManifestError(source, nil, "its ram-maximum is less than its ram-minimum")
        }
    }

    /// The header as a manifest.
    public var manifest: Manifest {
        var manifest = Manifest([ManifestPair("id", id), ManifestPair("name", name), ManifestPair("summary", summary)])
        if role != .build { manifest.add("role", role.rawValue) }
        manifest.add("ram-minimum", minimumRAM.map { "\($0.kibibytes)" })
        manifest.add("ram-maximum", maximumRAM.map { "\($0.kibibytes)" })
        return manifest
    }

    private static func ram(
        _ manifest: Manifest,
        _ name: String,
        _ source: String
    ) throws(ManifestError) -> MemorySize? {
        guard let text = manifest[name] else { return nil }
        guard let kibibytes = Int(text), (1...1 << 40).contains(kibibytes) else {
            throw ManifestError(source, nil, "its \(name) is not a number of KiB")
        }
        return MemorySize(kibibytes: kibibytes)
    }
}

/// The `manifest` file of a build machine (build2-facts, 3).
public struct MachineManifest: Sendable, Hashable {
    /// The file's name in the machine's subvolume.
    public static let fileName = "manifest"

    /// What controllers are told.
    public var header: MachineHeader
    /// The address of its network interface; one is made at its first bootstrap, and kept, if `nil`.
    public var macAddress: MACAddress?
    /// Arguments of the hypervisor in place of the usual disk and network.
    public var options: [String]?
    /// What changed from one revision to the next.
    public var changes: [String]

    /// Creates a manifest.
    public init(_ header: MachineHeader, macAddress: MACAddress? = nil, options: [String]? = nil) {
        self.header = header
        self.macAddress = macAddress
        self.options = options
        changes = []
    }

    /// Takes what a machine's manifest says.
    ///
    /// - Throws: ``ManifestError``, for one of a type that can't be run here too.
    public init(_ manifest: Manifest, source: String) throws(ManifestError) {
        header = try MachineHeader(manifest, source: source)
        let type = try manifest.required("type", in: source)
        guard type == "kvm" else {
            throw ManifestError(source, nil, "machines of type '\(type.prefix(40))' can't be run here; kvm can")
        }
        do throws(InvalidValue) {
            macAddress = try manifest["mac"].map { text throws(InvalidValue) in try MACAddress(text) }
        } catch {
            throw ManifestError(source, nil, "mac: \(error.cause)")
        }
        options = try manifest["options"].map { text throws(ManifestError) in
            guard let words = Self.words(text) else {
                throw ManifestError(source, nil, "options: a quote is not closed")
            }
            return words
        }
        changes = manifest.pairs.filter { $0.name == "changes" }.map(\.value)
    }

    /// Reads the file of the machine in a directory.
    ///
    /// - Throws: ``FileError``, ``ManifestError``
    public init(machineAt directory: FilePath) throws {
        let file = directory.appending(Self.fileName)
        let manifests = try ManifestParser.parse(try FileTree.read(file), source: file.string)
        guard let first = manifests.first else { throw ManifestError(file.string, nil, "there is no manifest in it") }
        try self.init(first, source: file.string)
    }

    /// The manifest.
    public var manifest: Manifest {
        var manifest = header.manifest
        manifest.add("type", "kvm")
        manifest.add("mac", macAddress?.description)
        manifest.add("options", options?.map(Self.quoted).joined(separator: "\n"))
        for change in changes { manifest.add("changes", change) }
        return manifest
    }

    /// Words separated by blanks and newlines, one level of quotes removed; `nil` if a quote isn't closed.
    static func words(_ text: String) -> [String]? {
        var words: [String] = []
        var word: String?
        var quote: Character?
        for character in text {
            if let open = quote {
                if character == open { quote = nil } else { word?.append(character) }
            } else if character == "\"" || character == "'" {
                quote = character
                word = word ?? ""
            } else if character == " " || character == "\t" || character.isNewline {
                if let done = word { words.append(done) }
                word = nil
            } else {
                word = (word ?? "") + String(character)
            }
        }
        guard quote == nil else { return nil }
        if let word { words.append(word) }
        return words
    }

    private static func quoted(_ word: String) -> String {
        guard word.isEmpty || word.contains(where: { $0.isWhitespace || $0 == "'" || $0 == "\"" }) else { return word }
        return word.contains("\"") ? "'\(word)'" : "\"\(word)\""
    }
}

/// What a machine says of itself once a toolchain is in it: versions by package (build2-facts, 3).
public struct BootstrapManifest: Sendable, Hashable {
    /// Versions by the name of the package, `bbot` for one.
    public var versions: [String: String]

    /// Creates a manifest.
    public init(versions: [String: String]) { self.versions = versions }

    /// Takes every `<package>-version`.
    public init(_ manifest: Manifest) {
        versions = [:]
        for pair in manifest.pairs where pair.name.hasSuffix("-version") {
            versions[String(pair.name.dropLast("-version".count))] = pair.value
        }
    }

    /// The manifest.
    public var manifest: Manifest {
        Manifest(versions.sorted { $0.key < $1.key }.map { ManifestPair("\($0.key)-version", $0.value) })
    }
}

/// The `manifest` file of a bootstrapped machine: the machine, the toolchain in it, and what it said (BOT-1).
public struct BootstrappedManifest: Sendable, Hashable {
    /// The machine, with the address that its interface has from now on.
    public var machine: MachineManifest
    /// The id of the toolchain.
    public var toolchainID: String
    /// What the machine said.
    public var bootstrap: BootstrapManifest

    /// Creates a manifest.
    public init(machine: MachineManifest, toolchainID: String, bootstrap: BootstrapManifest) {
        self.machine = machine
        self.toolchainID = toolchainID
        self.bootstrap = bootstrap
    }

    /// Reads the file of the bootstrapped machine in a directory.
    ///
    /// - Throws: ``FileError``, ``ManifestError``
    public init(machineAt directory: FilePath) throws {
        let file = directory.appending(MachineManifest.fileName)
        let manifests = try ManifestParser.parse(try FileTree.read(file), source: file.string)
        guard manifests.count == 3 else {
            throw ManifestError(
                file.string,
                nil,
                "it holds \(manifests.count) manifests, not machine, toolchain, bootstrap"
            )
        }
        machine = try MachineManifest(manifests[0], source: file.string)
        toolchainID = try manifests[1].required("id", in: file.string)
        bootstrap = BootstrapManifest(manifests[2])
    }

    /// Writes the file.
    ///
    /// - Throws: ``FileError``, ``ManifestError``
    public func write(to directory: FilePath) throws {
        let manifests = [machine.manifest, Manifest([ManifestPair("id", toolchainID)]), bootstrap.manifest]
        try FileTree.write(
            try ManifestSerializer.serialize(manifests),
            to: directory.appending(MachineManifest.fileName)
        )
    }
}
