/// Collects the parameters of a command line and what is wrong with them.
struct ConfigurationParser {
    private var configuration = HostConfiguration()
    private var errors: [ConfigurationError] = []
    private var warnings: [ConfigurationWarning] = []
    private var drafts: [ToolchainName: ToolchainDraft] = [:]
    private var draftOrder: [ToolchainName] = []
    private var firstColumns: [String: Int] = [:]

    /// What has been said about a toolchain so far.
    private struct ToolchainDraft {
        var url: ResourceURL?
        var urlParameter: KernelParameter?
        /// A URL was given but is wrong, which has been reported.
        var hasBadURL = false
        var trust: ToolchainTrust?
        var instances: Int?
        var nice: Int?
        var bridge: Bridge?
        var agent: AgentKind?
        var buildLimit: Duration?
        var holdOnFailure: Duration?
        var interactive: InteractiveMode?
        var controllers: [Controller] = []
        var controllerTrust: [CertificateFingerprint] = []
        var parameters: [KernelParameter] = []
    }

    mutating func read(_ line: KernelCommandLine) {
        if line.length > KernelCommandLine.lengthLimit {
            warnings.append(
                ConfigurationWarning(
                    "the command line has \(line.length) bytes; kernels cut it after \(KernelCommandLine.lengthLimit), "
                        + "so what stands at its end is lost"
                )
            )
        }
        for parameter in line.parameters where parameter.name.hasPrefix(Parameter.prefix) { read(parameter) }
        for parameter in line.initArguments where parameter.name.hasPrefix(Parameter.prefix) {
            warnings.append(
                ConfigurationWarning(
                    "\(ConfigurationError(parameter, cause: "", accepted: "").subject) stands after '--' and is not read"
                )
            )
        }
    }

    private mutating func read(_ given: KernelParameter) {
        let afterPrefix = given.name.dropFirst(Parameter.prefix.count)
        let key = afterPrefix.prefix { $0 != "." }
        guard let parameter = Parameter(rawValue: String(key)) else {
            fail(given, "there is no such parameter", Self.suggestion(for: String(key)))
            return
        }
        var toolchain = ToolchainName.default
        if key.endIndex < afterPrefix.endIndex {
            guard parameter.takesToolchain else {
                fail(given, "this parameter takes no toolchain name", "write \(parameter.name())")
                return
            }
            do {
                toolchain = try ToolchainName(String(afterPrefix[key.endIndex...].dropFirst()))
            } catch {
                fail(given, error.cause, ToolchainName.accepted)
                return
            }
        }
        if parameter.takesToolchain { note(given, of: toolchain) }
        guard let value = given.value, !value.isEmpty else {
            if parameter == .toolchainURL { drafts[toolchain]?.hasBadURL = true }
            fail(given, given.value == nil ? "it has no value" : "its value is empty", "give \(parameter.accepts)")
            return
        }
        let name = parameter.name(for: toolchain)
        if !parameter.repeats {
            if let first = firstColumns[name] {
                fail(
                    given,
                    "it was given before, at byte \(first) of the line; the last valid value is taken",
                    "give it once"
                )
            }
            firstColumns[name] = given.column
        }
        do {
            try apply(parameter, value, toolchain, given)
            let origin = ValueOrigin.commandLine(column: given.column)
            configuration.origins[name] = (parameter.repeats ? configuration.origins[name] ?? [] : []) + [origin]
        } catch {
            if parameter == .toolchainURL { drafts[toolchain]?.hasBadURL = true }
            fail(given, error.cause, "give \(parameter.accepts)")
        }
    }

    private mutating func apply(
        _ parameter: Parameter,
        _ value: String,
        _ toolchain: ToolchainName,
        _ given: KernelParameter
    ) throws(InvalidValue) {
        switch parameter {
        case .buildIDURL:
            configuration.buildIDURL = try ResourceURL(parameter: value, schemes: [.http, .https, .tftp])
        case .toolchainURL:
            drafts[toolchain]?.url = try Self.checksumsURL(value)
            drafts[toolchain]?.urlParameter = given
        case .toolchainTrust: drafts[toolchain]?.trust = try ToolchainTrust(value)
        case .instances: drafts[toolchain]?.instances = try DecimalNumber.parse(value, 1...99)
        case .nice: drafts[toolchain]?.nice = try DecimalNumber.parse(value, -20...19)
        case .bridge: drafts[toolchain]?.bridge = try Self.choice(value)
        case .agent: drafts[toolchain]?.agent = try Self.choice(value)
        case .buildLimit: drafts[toolchain]?.buildLimit = .seconds(try DecimalNumber.parse(value, 1...604_800))
        case .holdOnFailure: drafts[toolchain]?.holdOnFailure = .seconds(try DecimalNumber.parse(value, 0...86_400))
        case .interactive: drafts[toolchain]?.interactive = try Self.choice(value)
        case .controllerURL: drafts[toolchain]?.controllers.append(try Controller(value))
        case .controllerTrust: drafts[toolchain]?.controllerTrust.append(try CertificateFingerprint(value))
        case .cpuOvercommit: configuration.cpuOvercommit = try OvercommitRatio(value)
        case .cpuAffinity: configuration.cpuAffinity = try CPUSet(value)
        case .cpuReserved: configuration.cpuReserved = try DecimalNumber.parse(value, 0...CPUSet.greatestCPU)
        case .ramTotal:
            let total = try MemorySize(gibibytes: value)
            guard total.kibibytes > 0 else { throw InvalidValue("there is no RAM in it") }
            configuration.ramTotal = total
        case .ramReserved: configuration.ramReserved = try MemorySize(gibibytes: value)
        case .ramAuxiliary: configuration.ramAuxiliary = try MemorySize(gibibytes: value)
        case .adminEmail: configuration.adminEmail = try MailAddress(value)
        case .smtpRelay: configuration.smtpRelay = try RelayHost(value)
        case .sshKey: configuration.sshKeys.append(try AuthorizedKey(value))
        case .pollInterval: configuration.pollInterval = .seconds(try DecimalNumber.parse(value, 1...86_400))
        case .drainLimit: configuration.drainLimit = .seconds(try DecimalNumber.parse(value, 0...86_400))
        case .rebootSpread: configuration.rebootSpread = .seconds(try DecimalNumber.parse(value, 0...86_400))
        case .bootstrapLimit: configuration.bootstrapLimit = .seconds(try DecimalNumber.parse(value, 1...604_800))
        case .reboot: configuration.rebootMethod = try Self.choice(value)
        }
    }

    private mutating func note(_ given: KernelParameter, of toolchain: ToolchainName) {
        if drafts[toolchain] == nil {
            drafts[toolchain] = ToolchainDraft()
            draftOrder.append(toolchain)
        }
        drafts[toolchain]?.parameters.append(given)
    }

    mutating func finish() -> ParsedConfiguration {
        // `default` comes first: its first machine's display is then where the manual says, at port 5901.
        let withURL = draftOrder.filter { drafts[$0]?.url != nil }
        let order =
            withURL.filter { $0 == .default }
            + withURL.filter { $0 != .default }
            .sorted { (drafts[$0]?.urlParameter?.column ?? 0) < (drafts[$1]?.urlParameter?.column ?? 0) }
        for name in order {
            guard let draft = drafts[name], let url = draft.url, let given = draft.urlParameter else { continue }
            guard configuration.toolchains.count < 9 else {
                fail(given, "it is the tenth toolchain or a later one", "a host runs at most nine toolchains")
                continue
            }
            configuration.toolchains.append(
                Toolchain(
                    name: name,
                    number: configuration.toolchains.count + 1,
                    url: url,
                    trust: draft.trust ?? .no,
                    instances: draft.instances ?? 1,
                    nice: draft.nice ?? 0,
                    bridge: draft.bridge ?? .br1,
                    agent: draft.agent,
                    buildLimit: draft.buildLimit ?? Toolchain.standardBuildLimit,
                    holdOnFailure: draft.holdOnFailure ?? .zero,
                    interactive: draft.interactive ?? .no,
                    controllers: draft.controllers,
                    controllerTrust: draft.controllerTrust
                )
            )
        }
        for name in draftOrder { reportMissingURL(of: name) }
        return ParsedConfiguration(
            configuration: configuration,
            errors: errors.sorted { $0.column < $1.column },
            warnings: warnings
        )
    }

    private mutating func reportMissingURL(of name: ToolchainName) {
        guard let draft = drafts[name], draft.url == nil, !draft.hasBadURL else { return }
        let urlName = Parameter.toolchainURL.name(for: name)
        if name == .default {
            configuration.instancesWithoutToolchain = draft.instances ?? 1
            let names = draft.parameters.map(\.name).joined(separator: ", ")
            warnings.append(
                ConfigurationWarning(
                    "\(names): without \(urlName) there is no toolchain 'default', so no agent of it runs"
                )
            )
        } else {
            for given in draft.parameters {
                fail(given, "there is no toolchain '\(name)'", "give \(urlName) as well, or check the name")
            }
        }
    }

    private mutating func fail(_ given: KernelParameter, _ cause: String, _ accepted: String) {
        errors.append(ConfigurationError(given, cause: cause, accepted: accepted))
    }

    private static func checksumsURL(_ value: String) throws(InvalidValue) -> ResourceURL {
        let url = try ResourceURL(parameter: value, schemes: [.http, .https, .tftp, .file])
        let suffixes = [".sha1", ".sha224", ".sha256", ".sha384", ".sha512"]
        guard suffixes.contains(where: { url.path.hasSuffix($0) }) else {
            throw InvalidValue("its path does not end in the name of a checksum algorithm")
        }
        return url
    }

    private static func choice<Choice>(_ value: String) throws(InvalidValue) -> Choice
    where Choice: RawRepresentable<String> & CaseIterable {
        guard let choice = Choice(rawValue: value) else {
            throw InvalidValue("it is not one of \(Choice.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return choice
    }

    private static func suggestion(for key: String) -> String {
        let known = Parameter.allCases.map(\.rawValue)
        let nearest = known.map { (name: $0, distance: EditDistance.between(key.lowercased(), $0)) }
            .min { $0.distance < $1.distance }
        if let nearest, nearest.distance <= max(1, min(3, nearest.name.count / 3)) {
            return "did you mean \(Parameter.prefix)\(nearest.name)?"
        }
        return "the parameters are \(known.joined(separator: ", "))"
    }
}

/// How many characters differ between two words.
enum EditDistance {
    /// Levenshtein's distance; words of more than 64 characters are taken to be far from everything.
    static func between(_ left: String, _ right: String) -> Int {
        let (left, right) = (Array(left.unicodeScalars), Array(right.unicodeScalars))
        guard left.count <= 64, right.count <= 64 else { return max(left.count, right.count) }
        var row = Array(0...right.count)
        for (line, scalar) in left.enumerated() {
            var diagonal = row[0]
            row[0] = line + 1
            for column in right.indices {
                let replaced = diagonal + (scalar == right[column] ? 0 : 1)
                diagonal = row[column + 1]
                row[column + 1] = min(replaced, row[column] + 1, diagonal + 1)
            }
        }
        return row[right.count]
    }
}
