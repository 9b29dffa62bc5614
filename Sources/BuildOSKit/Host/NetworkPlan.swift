/// An Ethernet interface of the host.
public struct EthernetInterface: Sendable, Hashable {
    /// Its name, such as `eth0`.
    public let name: String
    /// Its address.
    public let address: MACAddress
    /// Where its device is in `/sys/devices`, which does not depend on the order in which drivers find devices.
    public let devicePath: String
    /// Whether there is a link.
    public let hasCarrier: Bool

    /// Creates an interface.
    public init(name: String, address: MACAddress, devicePath: String = "", hasCarrier: Bool = true) {
        self.name = name
        self.address = address
        self.devicePath = devicePath
        self.hasCarrier = hasCarrier
    }

    /// The interfaces that DHCP is tried on: those with carrier, by place in the machine, then by name (NET-1).
    public static func candidates(_ interfaces: [EthernetInterface]) -> [EthernetInterface] {
        interfaces.filter(\.hasCarrier).sorted {
            ($0.devicePath, $0.name.count, $0.name) < ($1.devicePath, $1.name.count, $1.name)
        }
    }
}

/// The host's network: `br0` with an Ethernet interface and DHCP, `br1` private behind NAT (NET-3).
public struct NetworkPlan: Sendable, Hashable {
    /// The interface in `br0`; `nil` if none has carrier.
    public let uplink: EthernetInterface?
    /// The network of `br1`.
    public let privateNetwork: IPv4Network

    /// Networks for `br1`, of which the first is taken that the host isn't in already.
    public static let privateNetworks = [
        IPv4Network(IPv4Address(number: 10 << 24 | 249 << 16), prefixLength: 20),
        IPv4Network(IPv4Address(number: 172 << 24 | 29 << 16 | 224 << 8), prefixLength: 20),
        IPv4Network(IPv4Address(number: 192 << 24 | 168 << 16 | 208 << 8), prefixLength: 20),
    ]

    /// Plans the network.
    ///
    /// - Parameter lease: what `br0` has been given, once that is known.
    public init(uplink: EthernetInterface?, lease: DHCPLease? = nil) {
        self.uplink = uplink
        let taken = lease?.network
        privateNetwork =
            Self.privateNetworks.first { network in taken.map { !$0.overlaps(network) } ?? true }
            ?? Self.privateNetworks[0]
    }

    /// The address of the host on `br1`.
    public var privateAddress: IPv4Address { privateNetwork.address(1) }

    /// All files of the network.
    public var files: [HostFile] { [interfaces, dhcpClient, dnsmasq, nftables, forwarding] }

    /// `/etc/network/interfaces` (NET-4).
    public var interfaces: HostFile {
        var text = """
            # Made by 'buildosd init' at this boot.

            auto lo
            iface lo inet loopback

            """
        if let uplink {
            // By its address, not by an identity made at each boot, the DHCP server knows this host again ('client no').
            // The bridge keeps the address of its Ethernet interface: without saying so, it would take that of any
            // machine's interface that happens to be lower, and the DHCP server would see another host.
            text += """

                # Public: the first Ethernet interface that was given an address.
                auto br0
                iface br0 inet dhcp
                    client no
                    bridge_ports \(uplink.name)
                    bridge_hw \(uplink.address)
                    bridge_stp off
                    bridge_fd 0
                    bridge_maxwait 0

                """
        } else {
            text += """

                # Public: no Ethernet interface was given an address.
                iface br0 inet manual
                    bridge_ports none
                    bridge_stp off
                    bridge_fd 0
                    bridge_maxwait 0

                """
        }
        text += """

            # Private: machines behind NAT; dnsmasq-br1.service serves DHCP on it.
            auto br1
            iface br1 inet static
                bridge_ports none
                bridge_stp off
                bridge_fd 0
                bridge_maxwait 0
                address \(privateAddress)/\(privateNetwork.prefixLength)
                up nft -f /etc/nftables.conf

            """
        return HostFile("/etc/network/interfaces", text)
    }

    /// `/etc/dhcp/dhclient.conf`: one quick exchange, or none.
    public var dhcpClient: HostFile {
        HostFile(
            "/etc/dhcp/dhclient.conf",
            """
            # Made by 'buildosd init' at this boot.
            option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;
            send host-name = gethostname();
            request subnet-mask, broadcast-address, routers, rfc3442-classless-static-routes, domain-name,
                domain-name-servers, domain-search, host-name, interface-mtu, ntp-servers;
            initial-delay 0;
            initial-interval 1;
            backoff-cutoff 4;
            timeout \(Self.leaseTimeLimit);
            retry 30;

            """
        )
    }

    /// How many seconds one interface gets to be given an address.
    public static let leaseTimeLimit = 15

    /// `/etc/dnsmasq-br1.conf`: DHCP and DNS on `br1` alone.
    public var dnsmasq: HostFile {
        HostFile(
            "/etc/dnsmasq-br1.conf",
            """
            # Made by 'buildosd init' at this boot.
            interface=br1
            except-interface=lo
            bind-interfaces
            no-hosts
            domain-needed
            bogus-priv
            dhcp-authoritative
            dhcp-range=\(privateNetwork.address(16)),\(IPv4Address(number: privateNetwork.broadcast.number - 1)),\
            \(privateNetwork.mask),30m
            dhcp-leasefile=/run/dnsmasq-br1.leases

            """
        )
    }

    /// `/etc/nftables.conf`: machines on `br1` get out under the host's address, and nobody gets in to them.
    ///
    /// Only what crosses between the bridges is judged; agents add tables of their own.
    public var nftables: HostFile {
        HostFile(
            "/etc/nftables.conf",
            """
            # Made by 'buildosd init' at this boot.
            table ip buildos
            delete table ip buildos
            table ip buildos {
                chain postrouting {
                    type nat hook postrouting priority srcnat; policy accept;
                    ip saddr \(privateNetwork) oifname "br0" masquerade
                }
                chain forward {
                    type filter hook forward priority filter; policy accept;
                    iifname "br0" oifname "br1" ct state != { established, related } drop
                }
            }

            """
        )
    }

    /// `/etc/sysctl.d/buildos.conf`
    public var forwarding: HostFile {
        HostFile(
            "/etc/sysctl.d/buildos.conf",
            "# Machines on br1 reach the network through this host.\nnet.ipv4.ip_forward = 1\n"
        )
    }
}
