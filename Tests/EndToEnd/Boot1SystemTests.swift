import BuildOSKit
import Testing

extension EndToEndTests.Boot1 {
    @Test("BOOT-6, SSH-1: the host boots by PXE and lets user build in with the key it was given")
    func boots() async throws {
        try await host.isUp(within: .seconds(300))
        #expect(try await host.run("id -un; id -gn; echo $HOME") == "build\nbuild\n/build")
        let served = try FileTree.readText(lab.logs.appending("dnsmasq.log"), limit: 64 << 20)
        #expect(served.contains("sent \(lab.tftp)/pxelinux.cfg/01-52-54-00-99-00-10 to \(Lab.namedAddress)"))
        #expect(served.contains("sent \(lab.tftp)/buildos/buildos-initrd to \(Lab.namedAddress)"))
    }

    @Test("BOOT-4: systemd is process 1 and reached its target without a failed unit")
    func systemd() async throws {
        #expect(try await host.run("cat /proc/1/comm") == "systemd")
        try await host.systemReachesItsTarget()
    }

    @Test("BOOT-5: the monitor is a systemd service that runs as build in /build")
    func monitor() async throws {
        #expect(try await host.run("systemctl is-active buildos.service") == "active")
        let process = try await host.run("systemctl show --property MainPID --value buildos.service")
        #expect(
            try await host.run("ps -o user=,group=,args= -p \(process)").split(separator: " ") == [
                "build", "build", "/usr/bin/buildosd", "monitor",
            ]
        )
        #expect(try await host.run("sudo readlink /proc/\(process)/cwd") == "/build")
    }

    @Test("BOOT-2: the root file system is a layer in RAM over a read-only one")
    func rootInRAM() async throws {
        #expect(try await host.run("findmnt -no FSTYPE /") == "overlay")
        let disks = try await host.run("findmnt -rno SOURCE,TARGET | grep ^/dev/vd | cut -d' ' -f2 | sort -u")
        #expect(disks.split(separator: "\n") == ["/build/machines/default", "/build/machines/fast", "/state"])
        try await host.run("sudo touch /etc/changed /usr/bin/changed /build/changed")
    }

    @Test("STOR-1, STOR-2, STOR-4: state and machines are mounted by label, and /etc/fstab says so")
    func storage() async throws {
        let table = try await host.run("cat /etc/fstab")
        for (place, label, type) in [
            ("/state", "buildos.state", "ext4"),
            ("/build/machines/default", "buildos.machines", "btrfs"),
            ("/build/machines/fast", "buildos.machines.fast", "btrfs"),
        ] {
            let mounted = try await host.run("findmnt -no FSTYPE,LABEL \(place)").split(separator: " ")
            #expect(mounted == [Substring(type), Substring(label)])
            #expect(
                table.split(separator: "\n").contains { line in
                    let fields = line.split(whereSeparator: \.isWhitespace)
                    return fields.count >= 3 && fields[1] == place && fields[2] == type
                },
                "no \(place) of \(type) in \(table)"
            )
        }
        #expect(
            try await host.run("stat -c %U:%G /build/machines/default /build/machines/fast") == """
                build:build
                build:build
                """
        )
    }

    @Test("NET-1, NET-2: address and host name come from DHCP")
    func addressAndName() async throws {
        #expect(try await host.run("cat /proc/sys/kernel/hostname") == "build1")
        #expect(try await host.run("cat /etc/hostname") == "build1")
        let addresses = try await host.run("ip -o -4 address show br0")
        #expect(addresses.contains("inet \(Lab.namedAddress)/24"))
        #expect(try await host.run("ip route show default").contains("via \(Lab.address) dev br0"))
        let leases = try FileTree.readText(lab.logs.appending("dnsmasq.log"), limit: 64 << 20)
        #expect(leases.contains("DHCPACK(lab0) \(Lab.namedAddress) \(Lab.namedMAC) build1"))
    }

    @Test("NET-3, NET-4: br0 has the Ethernet interface, br1 is private, /etc/network/interfaces says so")
    func bridges() async throws {
        let text = try await host.run("cat /etc/network/interfaces")
        #expect(text.contains("iface br0 inet dhcp"))
        #expect(text.contains("iface br1 inet static"))
        let members = try await host.run("ls /sys/class/net/br0/brif; ls /sys/class/net/br1/brif")
        let ethernet = try await host.run("ls -d /sys/class/net/e*")
        #expect("/sys/class/net/\(members)" == ethernet)
        #expect(try await host.run("pgrep -xa dnsmasq").contains("br1"))
        #expect(try await host.run("cat /proc/sys/net/ipv4/ip_forward") == "1")
        let rules = try await host.run("sudo nft list ruleset")
        #expect(rules.contains("masquerade"))
    }

    @Test("NET-3: a machine on br1 gets an address by DHCP and reaches the network through NAT")
    func packetsThroughNAT() async throws {
        try FileTree.write("reached", to: lab.web.appending("nat"))
        let script = """
            set -e
            ip netns add machine
            trap 'ip netns del machine' EXIT
            ip link add tap9 type veth peer name eth0 netns machine
            ip link set tap9 master br1
            ip link set tap9 up
            ip -n machine link set eth0 up
            ip netns exec machine dhclient -1 -sf /bin/true -lf /tmp/machine.leases -pf /tmp/machine.pid eth0
            lease() { sed -n "s/^ *\\(option \\)*$1 \\([0-9.]*\\).*/\\2/p" /tmp/machine.leases | tail -n 1; }
            kill "$(cat /tmp/machine.pid)"
            ip -n machine address add "$(lease fixed-address)/32" dev eth0
            ip -n machine route add "$(lease routers)" dev eth0
            ip -n machine route add default via "$(lease routers)"
            lease domain-name-servers
            lease fixed-address
            ip netns exec machine bash -c 'exec 3<>/dev/tcp/\(Lab.address)/80
                printf "GET /nat HTTP/1.0\\r\\n\\r\\n" >&3; tail -n 1 <&3'
            """
        try FileTree.write(script, to: lab.web.appending("nat.sh"))
        let result = try await host.run("cat > /tmp/nat.sh <<'END'\n\(script)\nEND\nsudo bash /tmp/nat.sh")
        let lines = result.split(separator: "\n").suffix(3)
        #expect(lines.last == "reached")
        let address = try #require(lines.dropLast().last)
        let bridge = try await host.run("ip -o -4 address show br1")
        #expect(bridge.contains("inet \(lines.first ?? "?")/"), "the machine's name server is the host")
        #expect(!address.hasPrefix("10.99."))
        let requests = try lab.webRequests().filter { $0.contains("GET /nat ") }
        #expect(!requests.isEmpty && requests.allSatisfy { $0.hasPrefix("\(Lab.namedAddress) ") })
    }

    @Test("SSH-1: no password is asked for, and root can't log in")
    func refusedLogins() async throws {
        let password = try await host.logIn(
            as: "build",
            options: ["-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password,keyboard-interactive"]
        )
        #expect(password.status == .exited(255))
        #expect(password.errorText.contains("Permission denied (publickey)"))
        let root = try await host.logIn(as: "root", options: [])
        #expect(root.status == .exited(255))
        #expect(root.errorText.contains("Permission denied"))
        let settings = try await host.run("sudo /usr/sbin/sshd -T")
        for setting in ["passwordauthentication no", "kbdinteractiveauthentication no", "permitrootlogin no"] {
            #expect(settings.split(separator: "\n").contains(Substring(setting)))
        }
    }

    @Test("SSH-1: the host keys are kept on the state disk")
    func hostKeys() async throws {
        let keys = try await lab.check("ssh-keyscan", ["-t", "ed25519", Lab.namedAddress])
        #expect(keys.contains("ssh-ed25519"))
        await lab.notes.write("host key", keys)
        #expect(try await host.run("sudo find /state -name 'ssh_host_ed25519_key*'") != "")
    }

    @Test("MAIL-1: mail to root goes to the admin's address through the relay")
    func mailToRoot() async throws {
        try await host.run("printf 'Subject: a word from root\\n\\nbody\\n' | /usr/sbin/sendmail root")
        let mail = try await lab.mail(with: ["Subject: a word from root"], within: .seconds(60))
        #expect(mail.contains("X-Recipient: <admin@example.org>"))
        #expect(mail.contains("\nbody\n"))
    }
}
