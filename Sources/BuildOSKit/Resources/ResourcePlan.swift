/// What a machine has to share out.
public struct MachineResources: Sendable, Hashable {
    /// CPUs (hardware threads), numbered from 0.
    public let cpus: Int
    /// RAM that the kernel has.
    public let ram: MemorySize

    /// Creates resources.
    public init(cpus: Int, ram: MemorySize) {
        self.cpus = cpus
        self.ram = ram
    }
}

/// Something that keeps the resources from being shared out (RES-4).
public struct ResourceProblem: DiagnosableError, Hashable, Codable {
    public let subject: String
    public let cause: String
    public let remedy: String?

    /// Creates a problem.
    public init(subject: String, cause: String, remedy: String?) {
        self.subject = subject
        self.cause = cause
        self.remedy = remedy
    }
}

/// What each agent may give its machines: the slices of CPUs and RAM (RES-1, RES-2).
///
/// Fractions are rounded down: CPUs to whole ones, RAM to whole MiB. What is lost by it stays with the OS.
public struct ResourcePlan: Sendable, Hashable {
    /// Agents over all toolchains, at least one.
    public let instances: Int
    /// CPUs of each machine, at least one.
    public let cpusPerSlice: Int
    /// RAM of each build machine, at least a MiB.
    public let buildRAM: MemorySize
    /// RAM of each instance's auxiliary machines together; may be none.
    public let auxiliaryRAM: MemorySize
    /// The CPUs that agents and machines may run on; all if `nil` (RES-3).
    public let affinity: CPUSet?
}

/// How an attempt to share out resources ended.
public enum ResourceSharing: Sendable, Hashable {
    /// There is no agent to share anything out to.
    case noInstances
    /// Everybody gets this.
    case plan(ResourcePlan)
    /// It can't be done, for all of these reasons.
    case impossible([ResourceProblem])

    /// The plan, if there is one.
    public var plan: ResourcePlan? { if case .plan(let plan) = self { plan } else { nil } }
    /// The problems, if there are any.
    public var problems: [ResourceProblem] { if case .impossible(let problems) = self { problems } else { [] } }
}

extension ResourcePlan {
    /// Shares out what a machine has among the agents of a configuration.
    ///
    /// - Parameter instances: overrides the number of agents that the configuration asks for.
    public static func make(
        for configuration: HostConfiguration,
        on machine: MachineResources,
        instances: Int? = nil
    ) -> ResourceSharing {
        let instances = instances ?? configuration.toolchains.reduce(0) { $0 + $1.instances }
        guard instances > 0 else { return .noInstances }
        var problems: [ResourceProblem] = []

        let ratio = configuration.cpuOvercommit
        let available = max(0, machine.cpus - configuration.cpuReserved)
        let cpus = available * ratio.numerator / (ratio.denominator * instances)
        if cpus < 1 {
            problems.append(
                ResourceProblem(
                    subject: "CPUs",
                    cause: "(\(machine.cpus) CPUs - \(configuration.cpuReserved) reserved) * \(ratio) / "
                        + "\(instances) instances is less than one CPU a slice",
                    remedy: "lower buildos.cpu_reserved or buildos.instances, or raise buildos.cpu_overcommit"
                )
            )
        }
        if let missing = configuration.cpuAffinity?.cpus.filter({ $0 >= machine.cpus }), !missing.isEmpty {
            problems.append(
                ResourceProblem(
                    subject: "buildos.cpu_affinity=\(configuration.cpuAffinity?.description ?? "")",
                    cause: "this machine has the CPUs 0-\(machine.cpus - 1); it has no CPU "
                        + missing.prefix(8).map(String.init).joined(separator: ", ")
                        + (missing.count > 8 ? ", ..." : ""),
                    remedy: "name only CPUs that exist"
                )
            )
        }

        let total = configuration.ramTotal ?? machine.ram
        let forBuilds = total - configuration.ramReserved - configuration.ramAuxiliary
        let buildRAM = slice(of: forBuilds, instances)
        let auxiliaryRAM = slice(of: configuration.ramAuxiliary, instances)
        if buildRAM.kibibytes <= 0 {
            problems.append(
                ResourceProblem(
                    subject: "RAM",
                    cause: "\(total) in all - \(configuration.ramReserved) reserved - \(configuration.ramAuxiliary) "
                        + "auxiliary leaves \(forBuilds) for \(instances) instances",
                    remedy: "lower buildos.ram_reserved, buildos.ram_auxiliary or buildos.instances"
                )
            )
        }
        guard problems.isEmpty else { return .impossible(problems) }
        return .plan(
            ResourcePlan(
                instances: instances,
                cpusPerSlice: cpus,
                buildRAM: buildRAM,
                auxiliaryRAM: auxiliaryRAM,
                affinity: configuration.cpuAffinity
            )
        )
    }

    private static func slice(of ram: MemorySize, _ instances: Int) -> MemorySize {
        let kibibytes = max(0, ram.kibibytes) / instances
        return MemorySize(kibibytes: kibibytes - kibibytes % 1024)
    }
}

extension MachineResources {
    /// Reads what the kernel says in `/proc/cpuinfo` and `/proc/meminfo`.
    ///
    /// - Returns: `nil` if one of them can't be understood.
    public init?(cpuInformation: String, memoryInformation: String) {
        let cpus = cpuInformation.split(separator: "\n").filter { $0.hasPrefix("processor") }.count
        guard let line = memoryInformation.split(separator: "\n").first(where: { $0.hasPrefix("MemTotal:") }) else {
            return nil
        }
        let words = line.split(separator: " ")
        guard words.count == 3, words[2] == "kB", let ram = Int(words[1]), cpus > 0 else { return nil }
        self.init(cpus: cpus, ram: MemorySize(kibibytes: ram))
    }

    /// What the running kernel has.
    ///
    /// - Throws: ``FileError``; ``ResourceProblem`` if the kernel's words can't be understood.
    public static func detect() throws -> MachineResources {
        let cpus = try FileTree.readText("/proc/cpuinfo", limit: 64 << 20)
        let memory = try FileTree.readText("/proc/meminfo")
        guard let resources = MachineResources(cpuInformation: cpus, memoryInformation: memory) else {
            throw ResourceProblem(
                subject: "/proc/cpuinfo and /proc/meminfo",
                cause: "they don't say how many CPUs and how much RAM there is",
                remedy: "give buildos.ram_total"
            )
        }
        return resources
    }
}
