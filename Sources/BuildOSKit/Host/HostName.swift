/// The address of an Ethernet interface.
public struct MACAddress: Sendable, Hashable, CustomStringConvertible {
    /// Six bytes.
    public let bytes: [UInt8]

    /// Parses six pairs of hex digits joined by colons.
    ///
    /// - Throws: ``InvalidValue``
    public init(_ text: String) throws(InvalidValue) {
        let pairs = text.split(separator: ":", omittingEmptySubsequences: false)
        let bytes = pairs.compactMap { pair in
            pair.utf8.count == 2 && pair.allSatisfy(\.isHexDigit) ? UInt8(pair, radix: 16) : nil
        }
        guard bytes.count == 6, pairs.count == 6 else {
            throw InvalidValue("it is not six pairs of hex digits joined by ':'")
        }
        self.bytes = bytes
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    /// A random unicast address of the range that is administered locally (IEEE 802, clause 8.4), for a guest.
    public static func random() -> MACAddress {
        var bytes = (0..<6).map { _ in UInt8.random(in: .min ... .max) }
        bytes[0] = bytes[0] & 0xfe | 0x02
        return MACAddress(bytes: bytes)
    }

    /// The digits of all bytes in lower case.
    public var digits: String { bytes.map(Self.pair).joined() }
    public var description: String { bytes.map(Self.pair).joined(separator: ":") }

    private static func pair(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16) }
}

/// The name of the host (NET-2).
public struct HostName: Sendable, Hashable, CustomStringConvertible {
    /// The name without a domain: at most 63 letters, digits and `-`, in lower case.
    public let name: String
    /// The domain, if DHCP told one.
    public let domain: String?
    /// Whether it was made from an interface's address.
    public let isGenerated: Bool

    /// The name that a DHCP server gave, if it can be one; else `build-` and the last ten digits of an address.
    ///
    /// What a DHCP server says is anybody's word: what isn't a host name, or would be the name of this machine for
    /// itself, is not taken.
    public init(lease: DHCPLease?, address: MACAddress?) {
        let words = (lease?.hostName ?? "").lowercased().split(separator: ".", omittingEmptySubsequences: false)
        let inName = words.count > 1 ? words.dropFirst().joined(separator: ".") : nil
        domain = [inName, lease?.domainName?.lowercased()].compactMap { $0 }.first(where: Self.isDomain)
        if let first = words.first, Self.isName(first) {
            name = String(first)
            isGenerated = false
        } else {
            name = "build-" + (address?.digits.suffix(10) ?? "unknown")
            isGenerated = true
        }
    }

    /// The name with the domain, if there is one.
    public var full: String { domain.map { "\(name).\($0)" } ?? name }
    public var description: String { full }

    private static func isName(_ text: Substring) -> Bool {
        HostNameSyntax.isLabel(text) && !text.contains("_") && text != "localhost"
            && !text.utf8.allSatisfy { $0.isASCIIDigit }
    }

    private static func isDomain(_ text: String) -> Bool {
        text.utf8.count <= 180 && !text.isEmpty && text != "localdomain"
            && text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy {
                HostNameSyntax.isLabel($0) && !$0.contains("_")
            }
    }

    /// `/etc/hostname` and `/etc/hosts`.
    public var files: [HostFile] {
        let names = domain == nil ? name : "\(full) \(name)"
        return [
            HostFile("/etc/hostname", name + "\n"),
            HostFile(
                "/etc/hosts",
                """
                127.0.0.1 localhost
                127.0.1.1 \(names)
                ::1 localhost ip6-localhost ip6-loopback
                ff02::1 ip6-allnodes
                ff02::2 ip6-allrouters

                """
            ),
        ]
    }
}

/// What a DHCP server gave, as dhclient notes it (dhclient.leases(5)). Nothing in it has been checked.
public struct DHCPLease: Sendable, Hashable {
    /// The address of this host.
    public let address: String
    /// The network mask.
    public let mask: String?
    /// The name the server gives this host.
    public let hostName: String?
    /// The domain of this host.
    public let domainName: String?

    /// Creates a lease.
    public init(address: String, mask: String? = nil, hostName: String? = nil, domainName: String? = nil) {
        self.address = address
        self.mask = mask
        self.hostName = hostName
        self.domainName = domainName
    }

    /// Reads the last complete lease of a file of leases.
    ///
    /// - Returns: `nil` if there is none.
    public init?(leases text: String) {
        var current: [String: String]?
        var last: [String: String]?
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            if words.count == 2, words[0] == "lease", words[1] == "{" {
                current = [:]
            } else if line == "}" {
                if current?["fixed-address"] != nil { last = current }
                current = nil
            } else if current != nil, line.hasSuffix(";") {
                let statement = words.first == "option" ? Array(words.dropFirst()) : Array(words)
                guard let name = statement.first, statement.count >= 2 else { continue }
                var value = statement.dropFirst().joined(separator: " ").dropLast()
                if value.count >= 2, value.hasPrefix("\""), value.hasSuffix("\"") {
                    value = value.dropFirst().dropLast()
                }
                current?[String(name)] = String(value)
            }
        }
        guard let last, let address = last["fixed-address"] else { return nil }
        self.init(
            address: address,
            mask: last["subnet-mask"],
            hostName: last["host-name"],
            domainName: last["domain-name"]
        )
    }
}
