import FoundationEssentials

/// A guest's way to the network: a tap device on a bridge, and rules by which it finds its agent's TFTP server at the
/// address that workers expect (BOT-2, BOT-3; build2-facts, 3).
///
/// The guest sends to 196.254.111.222, port 69, through whatever gateway it was given. The rules see that in the bridge,
/// before any routing: they turn such frames to the host itself, whoever the gateway is, and the port to that of the
/// guest's own server. No state is kept; answers come from the address itself, which the host has on `lo`.
public struct GuestNetwork: Sendable {
    /// The address at which workers look for their agent.
    public static let agentAddress = "196.254.111.222"

    private let transport: any Transport
    private let number: GuestNumber
    private let bridge: String
    private let user: String?

    /// Creates a description of a guest's network.
    ///
    /// - Parameter user: who may open the tap device besides root.
    public init(transport: any Transport, number: GuestNumber, bridge: String, user: String?) {
        self.transport = transport
        self.number = number
        self.bridge = bridge
        self.user = user
    }

    /// Makes device and rules. What an earlier guest of the same instance left is taken away first; if a step fails,
    /// nothing is left. Needs CAP_NET_ADMIN.
    ///
    /// - Throws: ``TransportError``, ``FileError``
    public func setUp() async throws {
        do {
            // As a rule nothing is left, and a build waits for this.
            do { try await make() } catch {
                await tearDown()
                try await make()
            }
        } catch {
            await tearDown()
            throw error
        }
    }

    private func make() async throws {
        let bridgeAddress = try await addressOfBridge()
        let steps = Self.steps(number, bridge: bridge, bridgeAddress: bridgeAddress, user: user)
        let rules = Self.newRules(number, bridgeAddress: bridgeAddress)
        // The rules name the device, whether it is there yet or not.
        async let device = run(Command("ip", ["-batch", "-"]), input: .bytes(Array(steps.utf8)))
        async let table = run(Command("nft", ["-f", "-"]), input: .bytes(Array(rules.utf8)))
        _ = try await device
        _ = try await table
    }

    /// Takes device and rules away; what isn't there is no error.
    public func tearDown() async {
        for command in Self.undoing(number) { _ = try? await run(command) }
    }

    @discardableResult
    private func run(_ command: Command, input: CommandInput = .none) async throws(TransportError) -> CommandResult {
        try await transport.check(command, input: input, timeLimit: .seconds(30))
    }

    /// The address that a bridge has, or is to have if it has none yet: one without devices may have nothing but zeros.
    private func addressOfBridge() async throws -> MACAddress {
        struct Link: Decodable { let address: String }
        let shown = try await run(Command("ip", ["-json", "link", "show", "dev", bridge])).output
        guard let link = try? JSONDecoder().decode([Link].self, from: Data(shown)).first,
            let address = try? MACAddress(link.address)
        else { throw Unreadable(subject: "bridge \(bridge)") }
        return address.bytes.allSatisfy { $0 == 0 } ? .random() : address
    }

    private struct Unreadable: DiagnosableError {
        let subject: String
        var cause: String { "ip(8) does not tell its address" }
        var remedy: String? { "see 'ip link show dev' on this host" }
    }

    /// Commands of ip(8), a line each. What is there already is no error.
    static func steps(
        _ number: GuestNumber,
        bridge: String,
        bridgeAddress: MACAddress,
        user: String?
    ) -> String {
        // A bridge whose address nobody has set takes that of any device that joins it; the rules name this one.
        """
        link set dev \(bridge) address \(bridgeAddress)
        address replace \(agentAddress)/32 dev lo
        tuntap add dev \(number.tap) mode tap\(user.map { " user \($0)" } ?? "")
        link set dev \(number.tap) master \(bridge) up

        """
    }

    static func undoing(_ number: GuestNumber) -> [Command] {
        [
            Command("nft", ["delete", "table", "bridge", table(number)]),
            Command("ip", ["link", "delete", "dev", number.tap]),
        ]
    }

    static func table(_ number: GuestNumber) -> String { "buildos-\(number.tap)" }

    /// The rules in place of those that may be there: declared, a table can be deleted whether it was there or not.
    static func newRules(_ number: GuestNumber, bridgeAddress: MACAddress) -> String {
        "table bridge \(table(number))\ndelete table bridge \(table(number))\n"
            + rules(number, bridgeAddress: bridgeAddress)
    }

    /// The rules. A guest reaches its own server and no other's.
    static func rules(_ number: GuestNumber, bridgeAddress: MACAddress) -> String {
        let toAgent = "iifname \"\(number.tap)\" ip daddr \(agentAddress)"
        let others = "\(GuestNumber.tftpPorts.lowerBound)-\(GuestNumber.tftpPorts.upperBound)"
        return """
            table bridge \(table(number)) {
                chain prerouting {
                    type filter hook prerouting priority dstnat; policy accept;
                    \(toAgent) udp dport \(others) drop
                    \(toAgent) ether daddr set \(bridgeAddress) meta pkttype set host
                    \(toAgent) udp dport 69 udp dport set \(number.tftpPort)
                }
            }

            """
    }
}
