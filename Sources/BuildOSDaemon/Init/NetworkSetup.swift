import BuildOSKit
import CHost

/// Brings the network up: `br0` with the first Ethernet interface that is given an address, `br1` with NAT (NET-1, NET-3).
///
/// The bridges are made by system calls rather than by `ifup`, whose scripts start some thirty programs and wait a
/// second. What `/etc/network/interfaces` says and what ifupdown's record says agree with it, so that `ifdown` and
/// `ifup` work on the booted host.
struct NetworkSetup {
    let transport: any Transport
    let log: BootLog

    /// What was found and brought up.
    struct Outcome: Sendable {
        var uplink: EthernetInterface?
        var lease: DHCPLease?
    }

    /// How long to wait for an interface with carrier.
    static let carrierLimit: Duration = .seconds(10)
    /// How long to wait for further interfaces once one has carrier, so that their order decides and not their speed.
    static let furtherCarrierLimit: Duration = .milliseconds(400)

    private static let leases: FilePath = "/var/lib/dhcp/dhclient.br0.leases"
    private static let logFile: FilePath = "/run/buildos/network.log"

    func run() async throws -> Outcome {
        var outcome = Outcome()
        _ = try? Self.check(chost_interface_set_up("lo", 1))
        let client = NetworkPlan(uplink: nil).dhcpClient
        try FileTree.makeDirectory(client.path.removingLastComponent())
        try FileTree.write(client.content, to: client.path)
        try FileTree.makeDirectory(Self.leases.removingLastComponent())

        var tried: Set<String> = []
        let clock = ContinuousClock()
        let end = clock.now + Self.carrierLimit
        while outcome.lease == nil {
            let candidates = try await candidates(except: tried, until: end)
            guard !candidates.isEmpty else { break }
            for candidate in candidates {
                tried.insert(candidate.name)
                outcome.uplink = outcome.uplink ?? candidate
                if let lease = try await lease(over: candidate) {
                    outcome.uplink = candidate
                    outcome.lease = lease
                    break
                }
            }
        }
        if outcome.lease == nil {
            outcome.uplink = outcome.uplink ?? Self.first(KernelDevices.ethernetInterfaces())
            await goOnWithout(outcome.uplink)
        }
        return outcome
    }

    /// Makes `br1`, for which it must be known where `br0` is. NAT comes with dnsmasq-br1.service.
    static func setUpPrivateBridge(_ plan: NetworkPlan) throws {
        try makeBridge("br1")
        try check(
            chost_interface_set_address("br1", plan.privateAddress.number, plan.privateNetwork.mask.number)
        )
        try check(chost_interface_set_up("br1", 1))
        try writeKernelValue("1", to: "/proc/sys/net/ipv4/ip_forward")
        try FileTree.makeDirectory("/run/network")
        try FileTree.write("lo=lo\nbr0=br0\nbr1=br1\n", to: "/run/network/ifstate")
    }

    /// Interfaces with carrier that have not been tried, in order; none if there are none until the time is up.
    private func candidates(
        except tried: Set<String>,
        until end: ContinuousClock.Instant
    ) async throws -> [EthernetInterface] {
        let clock = ContinuousClock()
        var raised: Set<String> = []
        var firstSeen: ContinuousClock.Instant?
        while true {
            let all = KernelDevices.ethernetInterfaces()
            // Without being up an interface doesn't look for carrier.
            for interface in all where raised.insert(interface.name).inserted {
                _ = chost_interface_set_up(interface.name, 1)
            }
            let ready = EthernetInterface.candidates(all).filter { !tried.contains($0.name) }
            let now = clock.now
            if !ready.isEmpty {
                let isComplete = all.allSatisfy { $0.hasCarrier }
                let since = firstSeen ?? now
                firstSeen = since
                if isComplete || since.duration(to: now) >= Self.furtherCarrierLimit { return ready }
            } else if now >= end {
                return []
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    private func lease(over interface: EthernetInterface) async throws -> DHCPLease? {
        try setUpPublicBridge(over: interface)
        try? FileTree.remove(Self.leases)
        if let failure = await dhclient(["-1"], limit: .seconds(NetworkPlan.leaseTimeLimit + 10)) {
            log.say("network: no address over \(interface.name) (\(interface.address)): \(failure)")
            _ = chost_bridge_remove_port("br0", interface.name)
            return nil
        }
        return (try? FileTree.readText(Self.leases)).flatMap(DHCPLease.init(leases:))
    }

    private func setUpPublicBridge(over interface: EthernetInterface) throws {
        // The DHCP server may show this name before it is known by which one the host goes.
        let name = HostName(lease: nil, address: interface.address)
        try NameSetup.set(name.name)
        try Self.makeBridge("br0")
        try Self.writeKernelValue("1", to: "/proc/sys/net/ipv6/conf/\(interface.name)/disable_ipv6", isOptional: true)
        try Self.check(chost_bridge_add_port("br0", interface.name))
        try Self.check(chost_interface_set_hardware_address("br0", interface.address.bytes))
        try Self.check(chost_interface_set_up("br0", 1))
    }

    /// - Returns: what went wrong, if anything did.
    private func dhclient(_ options: [String], limit: Duration) async -> String? {
        let command = Command(
            "/sbin/dhclient",
            ["-4", "-v"] + options + [
                "-pf", "/run/dhclient.br0.pid", "-lf", Self.leases.string,
                "-I", "-df", "/var/lib/dhcp/dhclient6.br0.leases", "br0",
            ]
        )
        do {
            let result = try await transport.run(
                command,
                input: .none,
                output: .appended(to: Self.logFile),
                error: .appended(to: Self.logFile),
                timeLimit: limit
            )
            return result.status.isSuccess ? nil : "dhclient: \(result.status), see \(Self.logFile)"
        } catch {
            return error.description
        }
    }

    /// The boot goes on; the DHCP client goes on asking, so that a server that comes back is noticed.
    private func goOnWithout(_ uplink: EthernetInterface?) async {
        guard let uplink else {
            log.report(
                HostReport(
                    .network,
                    subject: "there is no Ethernet interface",
                    text: "The kernel has found none, or has no driver for it."
                )
            )
            return
        }
        log.report(
            HostReport(
                .network,
                subject: "no address from DHCP",
                text: "No Ethernet interface with carrier was given an address. Check cables and the DHCP server; "
                    + "\(uplink.name) (\(uplink.address)) goes on asking."
            )
        )
        do { try setUpPublicBridge(over: uplink) } catch {
            log.say("network: \(uplink.name) can't go on asking: \(error)")
            return
        }
        if let failure = await dhclient(["-nw"], limit: .seconds(10)) {
            log.say("network: \(uplink.name) can't go on asking: \(failure)")
        }
    }

    private static func first(_ interfaces: [EthernetInterface]) -> EthernetInterface? {
        interfaces.min { ($0.devicePath, $0.name) < ($1.devicePath, $1.name) }
    }

    private static func makeBridge(_ name: String) throws {
        try check(chost_bridge_add(name))
        // Otherwise a bridge passes nothing on for its first thirty seconds.
        try writeKernelValue("0", to: "/sys/class/net/\(name)/bridge/forward_delay")
    }

    private static func writeKernelValue(_ value: String, to path: String, isOptional: Bool = false) throws {
        do {
            let file = try FileDescriptor.open(FilePath(path), .writeOnly, options: .closeOnExec)
            _ = try file.closeAfter { try file.writeAll(value.utf8) }
        } catch  where !isOptional {
            throw FileError("write", FilePath(path), error as? Errno ?? .ioError)
        } catch {}
    }

    private static func check(_ reason: Int32) throws(Errno) {
        if reason != 0 { throw Errno(rawValue: reason) }
    }
}
