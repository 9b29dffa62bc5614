import BuildOSKit
import TestSupport
import Testing

@Suite struct NetworkPlanTests {
    private let address: MACAddress? = try? MACAddress("de:ad:be:ef:b8:da")

    private func interface(_ name: String, _ path: String, carrier: Bool = true) throws -> EthernetInterface {
        EthernetInterface(name: name, address: try #require(address), devicePath: path, hasCarrier: carrier)
    }

    @Test("NET-1: interfaces with carrier are tried by their place in the machine")
    func order() throws {
        let found = [
            try interface("eth10", "b"), try interface("eth0", "c"), try interface("eth2", "b"),
            try interface("eth1", "a", carrier: false),
        ]
        #expect(EthernetInterface.candidates(found).map(\.name) == ["eth2", "eth10", "eth0"])
    }

    @Test("NET-3, NET-4: the interfaces file has br0 with the Ethernet interface and br1")
    func interfaces() throws {
        #expect(
            NetworkPlan(uplink: try interface("eth0", "a")).interfaces.content == """
                # Made by 'buildosd init' at this boot.

                auto lo
                iface lo inet loopback

                # Public: the first Ethernet interface that was given an address.
                auto br0
                iface br0 inet dhcp
                    client no
                    bridge_ports eth0
                    bridge_hw de:ad:be:ef:b8:da
                    bridge_stp off
                    bridge_fd 0
                    bridge_maxwait 0

                # Private: machines behind NAT; dnsmasq-br1.service serves DHCP on it.
                auto br1
                iface br1 inet static
                    bridge_ports none
                    bridge_stp off
                    bridge_fd 0
                    bridge_maxwait 0
                    address 10.249.0.1/20
                    up nft -f /etc/nftables.conf

                """
        )
        #expect(NetworkPlan(uplink: nil).interfaces.content.contains("\niface br0 inet manual\n"))
    }

    @Test("NET-3: br1 keeps clear of the network that br0 is in")
    func privateNetwork() {
        func network(_ address: String, _ mask: String?) -> String {
            NetworkPlan(uplink: nil, lease: DHCPLease(address: address, mask: mask)).privateNetwork.description
        }
        #expect(network("192.168.1.7", "255.255.255.0") == "10.249.0.0/20")
        #expect(network("10.1.2.3", "255.0.0.0") == "172.29.224.0/20")
        #expect(network("10.249.15.1", "255.255.255.0") == "172.29.224.0/20")
        #expect(network("10.249.16.1", "255.255.255.0") == "10.249.0.0/20")
        #expect(network("172.29.224.9", nil) == "10.249.0.0/20")
        #expect(network("nonsense", "x") == "10.249.0.0/20")
        #expect(network("10.0.0.1", "255.0.255.0") == "10.249.0.0/20")
    }

    @Test("NET-3: NAT from br1 to br0, and nobody gets in")
    func nat() {
        #expect(
            NetworkPlan(uplink: nil).nftables.content == """
                # Made by 'buildosd init' at this boot.
                table ip buildos
                delete table ip buildos
                table ip buildos {
                    chain postrouting {
                        type nat hook postrouting priority srcnat; policy accept;
                        ip saddr 10.249.0.0/20 oifname "br0" masquerade
                    }
                    chain forward {
                        type filter hook forward priority filter; policy accept;
                        iifname "br0" oifname "br1" ct state != { established, related } drop
                    }
                }

                """
        )
        #expect(NetworkPlan(uplink: nil).forwarding.content.hasSuffix("\nnet.ipv4.ip_forward = 1\n"))
    }

    @Test("NET-3: dnsmasq serves DHCP on br1 alone")
    func dnsmasq() {
        #expect(
            NetworkPlan(uplink: nil).dnsmasq.content == """
                # Made by 'buildosd init' at this boot.
                interface=br1
                except-interface=lo
                bind-interfaces
                no-hosts
                domain-needed
                bogus-priv
                dhcp-authoritative
                dhcp-range=10.249.0.16,10.249.15.254,255.255.240.0,30m
                dhcp-leasefile=/run/dnsmasq-br1.leases

                """
        )
    }

    @Test("NET-2: the last complete lease counts")
    func lease() {
        let lease = DHCPLease(
            leases: """
                lease {
                  interface "br0";
                  fixed-address 10.0.2.15;
                  option host-name "old";
                }
                lease {
                  interface "br0";
                  fixed-address 10.0.2.16;
                  option subnet-mask 255.255.255.0;
                  option domain-name "example.org";
                  option host-name "builder-1";
                  renew 1 2026/11/23 06:00:00;
                }
                lease {
                  fixed-address 10.0.2.17;
                """
        )
        let expected = DHCPLease(
            address: "10.0.2.16",
            mask: "255.255.255.0",
            hostName: "builder-1",
            domainName: "example.org"
        )
        #expect(lease == expected)
        #expect(DHCPLease(leases: "") == nil)
        #expect(DHCPLease(leases: "lease {\n}\n") == nil)
    }

    @Test(
        "NET-2: the name is DHCP's if it is one, else build- and ten digits of the address",
        arguments: [
            ("builder-1", "example.org", "builder-1.example.org"),
            ("Builder-1", nil, "builder-1"),
            ("b.example.net", "example.org", "b.example.net"),
            (nil, nil, "build-adbeefb8da"),
            ("", "", "build-adbeefb8da"),
            ("localhost", nil, "build-adbeefb8da"),
            ("-x", nil, "build-adbeefb8da"),
            ("a;reboot", "$(reboot)", "build-adbeefb8da"),
            ("a\u{1B}[2J", nil, "build-adbeefb8da"),
            ("12", nil, "build-adbeefb8da"),
            ("../../x", nil, "build-adbeefb8da"),
            (String(repeating: "a", count: 64), nil, "build-adbeefb8da"),
            ("a", "bad domain", "a"),
        ] as [(String?, String?, String)]
    )
    func hostName(given: String?, domain: String?, expected: String) {
        let lease = DHCPLease(address: "10.0.2.15", hostName: given, domainName: domain)
        let name = HostName(lease: lease, address: address)
        #expect(name.full == expected)
        #expect(name.isGenerated == expected.hasPrefix("build-adbeefb8da"))
    }

    @Test("NET-2: without a lease the name comes from the address; files have it")
    func noLease() {
        #expect(HostName(lease: nil, address: address).full == "build-adbeefb8da")
        #expect(HostName(lease: nil, address: nil).full == "build-unknown")
        let lease = DHCPLease(address: "10.0.0.2", hostName: "b", domainName: "example.org")
        let files = HostName(lease: lease, address: nil).files
        #expect(files[0].content == "b\n")
        #expect(files[1].content.contains("127.0.1.1 b.example.org b\n"))
    }

    @Test(arguments: ["", "de:ad:be:ef:b8", "de:ad:be:ef:b8:d", "de:ad:be:ef:b8:dax", "zz:ad:be:ef:b8:da"])
    func malformedAddress(text: String) {
        #expect(throws: InvalidValue.self) { try MACAddress(text) }
    }
}
