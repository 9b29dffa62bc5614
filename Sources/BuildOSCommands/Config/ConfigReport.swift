import BuildOSKit

/// What `buildosctl config check` shows.
struct ConfigReport: Codable {
    struct Machine: Codable {
        let cpus: Int
        let ramKiB: Int
    }

    struct Slices: Codable {
        let instances: Int
        let cpus: Int
        let buildRAMKiB: Int
        let auxiliaryRAMKiB: Int
        let cpuAffinity: String?
        /// How the numbers came about.
        let cpuCalculation: String
        let ramCalculation: String
    }

    struct Value: Codable {
        let parameter: String
        /// Nothing if the standard is to have none.
        let value: String?
        /// `default` or `command-line`
        let origin: String
        /// Byte of the line, counted from 1.
        let column: Int?
        /// What having no value means.
        let meaning: String?
    }

    struct ToolchainValues: Codable {
        let name: String
        let number: Int
        let values: [Value]
    }

    struct Problem: Codable {
        let subject: String
        let cause: String
        let remedy: String?
        let column: Int?
    }

    let machine: Machine
    let slices: Slices?
    let values: [Value]
    let toolchains: [ToolchainValues]
    let warnings: [String]
    let errors: [Problem]

    var isWrong: Bool { !errors.isEmpty }

    init(_ parsed: ParsedConfiguration, machine: MachineResources) {
        let configuration = parsed.configuration
        self.machine = Machine(cpus: machine.cpus, ramKiB: machine.ram.kibibytes)
        // Somebody who tries out CPU and RAM parameters needn't invent a toolchain's URL for that.
        let asIf = configuration.toolchains.isEmpty ? configuration.instancesWithoutToolchain : nil
        let sharing = ResourcePlan.make(for: configuration, on: machine, instances: asIf)
        slices = sharing.plan.map {
            Slices(
                instances: $0.instances,
                cpus: $0.cpusPerSlice,
                buildRAMKiB: $0.buildRAM.kibibytes,
                auxiliaryRAMKiB: $0.auxiliaryRAM.kibibytes,
                cpuAffinity: $0.affinity?.description,
                cpuCalculation: "(\(counted(machine.cpus, "CPU")) - \(configuration.cpuReserved) reserved) * "
                    + "\(configuration.cpuOvercommit) / \($0.instances)",
                ramCalculation: "(\(configuration.ramTotal ?? machine.ram) - \(configuration.ramReserved) reserved - "
                    + "\(configuration.ramAuxiliary) auxiliary) / \($0.instances)"
            )
        }
        values = ConfigListing.hostValues(configuration)
        toolchains = configuration.toolchains.map {
            ToolchainValues(
                name: $0.name.text,
                number: $0.number,
                values: ConfigListing.values(of: $0, in: configuration)
            )
        }
        var warnings = parsed.warnings.map(\.text)
        if asIf != nil, sharing.plan != nil {
            warnings.append("the slices are shown as if buildos.toolchain_url were given")
        }
        if let plan = sharing.plan, let affinity = plan.affinity, affinity.cpus.count < plan.cpusPerSlice {
            warnings.append(
                "a slice has \(plan.cpusPerSlice) CPUs but buildos.cpu_affinity allows only \(affinity.cpus.count)"
            )
        }
        self.warnings = warnings
        errors =
            parsed.errors.map {
                Problem(subject: $0.subject, cause: $0.cause, remedy: $0.remedy, column: $0.column)
            }
            + sharing.problems.map {
                Problem(subject: $0.subject, cause: $0.cause, remedy: $0.remedy, column: nil)
            }
    }
}

extension ConfigReport {
    /// The report for a reader.
    var text: String {
        let ram = MemorySize(kibibytes: machine.ramKiB)
        var lines = ["On a host of \(counted(machine.cpus, "CPU")) and \(ram) of RAM:", ""]
        if let slices {
            lines.append("Slices: \(counted(slices.instances, "instance")), each with")
            lines.append("  \(counted(slices.cpus, "CPU")) = \(slices.cpuCalculation)")
            if let affinity = slices.cpuAffinity { lines.append("  running on CPUs \(affinity) only") }
            lines.append(
                "  \(MemorySize(kibibytes: slices.buildRAMKiB)) of RAM for build machines = \(slices.ramCalculation)"
            )
            lines.append(
                slices.auxiliaryRAMKiB == 0
                    ? "  no RAM for auxiliary machines"
                    : "  \(MemorySize(kibibytes: slices.auxiliaryRAMKiB)) of RAM for auxiliary machines"
            )
        } else if errors.contains(where: { $0.column == nil }) {
            lines.append("Slices: none, see the errors")
        } else {
            lines.append("Slices: none, because there is no toolchain (buildos.toolchain_url)")
        }
        lines += ["", "Host:"] + Self.table(values)
        for toolchain in toolchains {
            lines += ["", "Toolchain \(toolchain.name) (number \(toolchain.number)):"] + Self.table(toolchain.values)
        }
        if !warnings.isEmpty { lines += ["", "Warnings:"] + warnings.map { "  \($0)" } }
        if !errors.isEmpty {
            lines += ["", "\(counted(errors.count, "error")):"]
            for error in errors {
                lines.append("  \(error.subject)" + (error.column.map { " (byte \($0))" } ?? ""))
                lines.append("    \(error.cause)")
                if let remedy = error.remedy { lines.append("    \(remedy)") }
            }
        } else {
            lines += ["", "No errors."]
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func table(_ values: [Value]) -> [String] {
        let nameWidth = values.map(\.parameter.count).max() ?? 0
        let shown = values.map { $0.value ?? $0.meaning ?? "none" }
        // One long value mustn't push the origins of all others off the screen.
        let valueWidth = min(40, shown.map(\.count).max() ?? 0)
        return zip(values, shown).map { value, text in
            let origin = value.column.map { "command line, byte \($0)" } ?? "default"
            let padded = text.padded(to: valueWidth)
            return "  \(value.parameter.padded(to: nameWidth))  \(padded)  \(origin)"
        }
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - count))
    }
}
