import BuildOSKit

/// The values of a configuration in the words of the command line, each with its origin.
enum ConfigListing {
    static func hostValues(_ configuration: HostConfiguration) -> [ConfigReport.Value] {
        let single: [(Parameter, String?, String)] = [
            (.cpuOvercommit, configuration.cpuOvercommit.description, ""),
            (.cpuAffinity, configuration.cpuAffinity?.description, "all CPUs"),
            (.cpuReserved, "\(configuration.cpuReserved)", ""),
            (.ramTotal, configuration.ramTotal?.inGiB, "detected"),
            (.ramReserved, configuration.ramReserved.inGiB, ""),
            (.ramAuxiliary, configuration.ramAuxiliary.inGiB, ""),
            (.buildIDURL, configuration.buildIDURL?.description, "none: a new OS isn't noticed"),
            (.pollInterval, configuration.pollInterval.inSeconds, ""),
            (.drainLimit, configuration.drainLimit.inSeconds, ""),
            (.rebootSpread, configuration.rebootSpread.inSeconds, ""),
            (.bootstrapLimit, configuration.bootstrapLimit.inSeconds, ""),
            (.reboot, configuration.rebootMethod.rawValue, ""),
            (.adminEmail, configuration.adminEmail?.text, "none: nobody gets mail"),
            (.smtpRelay, configuration.smtpRelay?.description, "none: straight to the mail server of the address"),
        ]
        return single.map { value($0.0, nil, $0.1, meaning: $0.2, in: configuration) }
            + list(
                .sshKey,
                nil,
                configuration.sshKeys.map(\.description),
                meaning: "none: nobody can log in over SSH",
                in: configuration
            )
    }

    static func values(of toolchain: Toolchain, in configuration: HostConfiguration) -> [ConfigReport.Value] {
        let single: [(Parameter, String?)] = [
            (.toolchainURL, toolchain.url.description),
            (.toolchainTrust, toolchain.trust.description),
            (.instances, "\(toolchain.instances)"),
            (.nice, "\(toolchain.nice)"),
            (.bridge, toolchain.bridge.rawValue),
            (.agent, toolchain.agent?.rawValue),
            (.buildLimit, toolchain.buildLimit.inSeconds),
            (.holdOnFailure, toolchain.holdOnFailure.inSeconds),
            (.interactive, toolchain.interactive.rawValue),
        ]
        let undecided = "bbot if it can be built, else builtin"
        return single.map { value($0.0, toolchain.name, $0.1, meaning: undecided, in: configuration) }
            + list(
                .controllerURL,
                toolchain.name,
                toolchain.controllers.map(\.description),
                meaning: "none: the agents get no tasks",
                in: configuration
            )
            + list(
                .controllerTrust,
                toolchain.name,
                toolchain.controllerTrust.map(\.description),
                meaning: "none",
                in: configuration
            )
    }

    private static func value(
        _ parameter: Parameter,
        _ toolchain: ToolchainName?,
        _ text: String?,
        meaning: String,
        in configuration: HostConfiguration
    ) -> ConfigReport.Value {
        let name = parameter.name(for: toolchain)
        let column = configuration.origins[name]?.last?.column
        return ConfigReport.Value(
            parameter: name,
            value: text,
            origin: column == nil ? "default" : "command-line",
            column: column,
            meaning: text == nil ? meaning : nil
        )
    }

    private static func list(
        _ parameter: Parameter,
        _ toolchain: ToolchainName?,
        _ texts: [String],
        meaning: String,
        in configuration: HostConfiguration
    ) -> [ConfigReport.Value] {
        guard !texts.isEmpty else { return [value(parameter, toolchain, nil, meaning: meaning, in: configuration)] }
        let name = parameter.name(for: toolchain)
        let origins = configuration.origins[name] ?? []
        return zip(texts, origins).map { text, origin in
            ConfigReport.Value(
                parameter: name,
                value: text,
                origin: "command-line",
                column: origin.column,
                meaning: nil
            )
        }
    }
}

extension ValueOrigin {
    fileprivate var column: Int? { if case .commandLine(let column) = self { column } else { nil } }
}

extension MemorySize {
    /// GiB as the command line has it, to three places.
    fileprivate var inGiB: String {
        let thousandths = (kibibytes % (1 << 20) * 1000 + (1 << 20) - 1) / (1 << 20)
        guard thousandths > 0 else { return "\(kibibytes >> 20)" }
        var digits = String(1000 + thousandths).dropFirst()
        while digits.last == "0" { digits.removeLast() }
        return "\(kibibytes >> 20).\(digits)"
    }
}

extension Duration {
    fileprivate var inSeconds: String { "\(components.seconds)" }
}
