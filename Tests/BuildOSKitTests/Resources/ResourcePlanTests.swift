import BuildOSKit
import TestSupport
import Testing

@Suite struct ResourcePlanTests {
    private func share(_ line: String, cpus: Int = 8, ram: Int = 64) -> ResourceSharing {
        let parsed = HostConfiguration.parse(commandLine: "buildos.toolchain_url=http://h/t.sha256 \(line)")
        #expect(parsed.errors.isEmpty)
        return ResourcePlan.make(
            for: parsed.configuration,
            on: MachineResources(cpus: cpus, ram: MemorySize(gibibytes: ram))
        )
    }

    @Test("RES-1: 8 CPUs at 3/2 for three instances give 4 each")
    func processors() {
        #expect(share("buildos.cpu_overcommit=3/2 buildos.instances=3").plan?.cpusPerSlice == 4)
    }

    @Test("RES-1: reserved CPUs are taken off first, and the rest is rounded down")
    func rounding() {
        #expect(share("buildos.cpu_reserved=1 buildos.cpu_overcommit=3/2 buildos.instances=3").plan?.cpusPerSlice == 3)
        #expect(share("buildos.instances=3").plan?.cpusPerSlice == 2)
        #expect(share("buildos.cpu_overcommit=1000 buildos.instances=99", cpus: 1).plan?.cpusPerSlice == 10)
    }

    @Test("RES-1: instances are counted over all toolchains")
    func severalToolchains() {
        let line = """
            buildos.toolchain_url.queue=http://h/t.sha256 buildos.instances.queue=2 buildos.cpu_overcommit=3/2
            """
        #expect(share(line).plan?.instances == 3)
        #expect(share(line).plan?.cpusPerSlice == 4)
    }

    @Test("RES-2: 64 GiB, 4 reserved, 12 auxiliary, three instances: 16 and 4 GiB each")
    func memory() {
        let line = "buildos.ram_total=64 buildos.ram_reserved=4 buildos.ram_auxiliary=12 buildos.instances=3"
        let plan = share(line, ram: 2).plan
        #expect(plan?.buildRAM == MemorySize(gibibytes: 16))
        #expect(plan?.auxiliaryRAM == MemorySize(gibibytes: 4))
    }

    @Test("RES-2: 4 GiB are reserved if nothing is said, and slices are whole MiB")
    func standardReserve() {
        #expect(share("").plan?.buildRAM == MemorySize(gibibytes: 60))
        #expect(share("").plan?.auxiliaryRAM == MemorySize(gibibytes: 0))
        #expect(share("buildos.instances=7").plan?.buildRAM.kibibytes == 60 * 1024 / 7 * 1024)
    }

    @Test("RES-3: affinity is a list of CPUs and ranges", arguments: [("2-7", "2-7"), ("0,3,2", "0,2-3"), ("5", "5")])
    func affinity(given: String, expected: String) {
        #expect(share("buildos.cpu_affinity=\(given)").plan?.affinity?.description == expected)
    }

    @Test("RES-4: what can't be shared out is said with its numbers, all at once")
    func impossible() {
        let problems = share(
            "buildos.instances=9 buildos.cpu_affinity=2-12 buildos.ram_reserved=60 buildos.ram_auxiliary=12"
        ).problems
        #expect(
            problems.map(\.cause)
                == [
                    "(8 CPUs - 0 reserved) * 1 / 9 instances is less than one CPU a slice",
                    "this machine has the CPUs 0-7; it has no CPU 8, 9, 10, 11, 12",
                    "64 GiB in all - 60 GiB reserved - 12 GiB auxiliary leaves -8 GiB for 9 instances",
                ]
        )
        #expect(problems.allSatisfy { $0.remedy != nil })
    }

    @Test("RES-4: all CPUs reserved, or more than there are, leaves none")
    func allReserved() {
        #expect(share("buildos.cpu_reserved=8").problems.count == 1)
        #expect(share("buildos.cpu_reserved=9").problems.count == 1)
        #expect(share("", ram: 4).problems.map(\.subject) == ["RAM"])
    }

    @Test func noToolchainMeansNoSlices() {
        let sharing = ResourcePlan.make(
            for: HostConfiguration(),
            on: MachineResources(cpus: 1, ram: MemorySize(gibibytes: 1))
        )
        #expect(sharing == .noInstances)
    }

    @Test("RES-2: what the kernel says about CPUs and RAM")
    func detection() {
        let cpus = "processor\t: 0\nmodel name\t: x\n\nprocessor\t: 1\n"
        let memory = "MemTotal:       24589576 kB\nMemFree: 1 kB\n"
        let resources = MachineResources(cpuInformation: cpus, memoryInformation: memory)
        #expect(resources == MachineResources(cpus: 2, ram: MemorySize(kibibytes: 24_589_576)))
        #expect(MachineResources(cpuInformation: "", memoryInformation: memory) == nil)
        #expect(MachineResources(cpuInformation: cpus, memoryInformation: "MemTotal: lots") == nil)
    }

    @Test(arguments: [("0.5", "512 MiB"), ("1", "1 GiB"), ("1.5", "1.5 GiB"), ("2.05", "2.04 GiB"), ("0", "0 GiB")])
    func sizes(given: String, shown: String) throws {
        #expect(try MemorySize(gibibytes: given).description == shown)
    }
}
