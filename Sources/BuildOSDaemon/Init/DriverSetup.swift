import BuildOSKit

/// Loads the drivers that lead to disks and to the network; systemd loads the others later.
struct DriverSetup {
    let transport: any Transport
    /// What has been asked for already.
    private var known: Set<String> = []

    init(_ transport: any Transport) { self.transport = transport }

    /// Loads drivers for what has appeared, and for what appears through them, until nothing new appears.
    ///
    /// - Returns: how many kinds of devices drivers were looked for.
    @discardableResult
    mutating func loadNew() async -> Int {
        let before = known.count
        for _ in 0..<5 {
            let found = KernelDevices.modaliases().filter(EarlyDrivers.mayLeadToDiskOrNetwork)
            let new = found.subtracting(known).sorted()
            if new.isEmpty { break }
            known.formUnion(new)
            await modprobe(new)
        }
        return known.count - before
    }

    /// Loads what is needed whatever devices there are.
    func loadAlways() async { await modprobe(EarlyDrivers.always) }

    /// Loads drivers for everything there is: keyboards and displays for a person at the console.
    func loadAll() async { await modprobe(KernelDevices.modaliases().sorted()) }

    private func modprobe(_ names: [String]) async {
        // Devices without a driver are the rule, so that the exit status says nothing.
        _ = try? await transport.run(
            Command("/sbin/modprobe", ["-a", "-b", "-q", "--"] + names),
            input: .none,
            output: .discarded,
            error: .discarded,
            timeLimit: .seconds(60)
        )
    }
}
