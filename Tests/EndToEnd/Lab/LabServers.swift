import BuildOSKit

extension Lab {
    /// MAC address that DHCP knows by the name `build1`; it has a PXE configuration of its own.
    static let namedMAC = "52:54:00:99:00:10"
    static let namedAddress = "10.99.0.10"
    /// MAC address that DHCP has an address for, but no name; it boots by the `default` configuration.
    static let namelessMAC = "52:54:00:99:00:20"
    static let namelessAddress = "10.99.0.20"

    /// Runs the servers for as long as the closure runs.
    func withServers(_ body: () async throws -> Void) async throws {
        try FileTree.write(nginxConfiguration, to: directory.appending("nginx.conf"))
        try await withProgram("dnsmasq", inside("dnsmasq", dnsmasqArguments)) {
            try await withProgram("nginx", inside("nginx", ["-c", "\(directory)/nginx.conf", "-p", "\(directory)/"])) {
                let sink = inside(
                    "/usr/bin/python3",
                    [Self.fixture("smtp-sink.py").string, Self.address, "25", mail.string]
                )
                try await withProgram("smtp-sink", sink) {
                    try await untilServersAnswer()
                    try await body()
                }
            }
        }
    }

    private func untilServersAnswer() async throws {
        for port in ["53", "80", "25"] {
            try await eventually("the lab's server on port \(port)", within: .seconds(20)) {
                try await answers(port)
            }
        }
    }

    private func answers(_ port: String) async throws -> Bool {
        let result = try await transport.run(
            inside("socat", ["-u", "OPEN:/dev/null", "TCP:\(Self.address):\(port),connect-timeout=2"]),
            input: .none,
            output: .discarded,
            error: .discarded,
            timeLimit: .seconds(5)
        )
        return result.status.isSuccess
    }

    private var dnsmasqArguments: [String] {
        [
            "--keep-in-foreground", "--conf-file", "--user=root", "--pid-file", "--log-facility=-", "--log-dhcp",
            "--no-resolv", "--no-hosts", "--interface=lab0", "--bind-interfaces",
            "--domain=lab", "--host-record=web.lab,\(Self.address)", "--host-record=mail.lab,\(Self.address)",
            "--dhcp-range=10.99.0.100,10.99.0.199,255.255.255.0,1h", "--dhcp-authoritative",
            "--dhcp-leasefile=\(directory)/leases",
            "--dhcp-host=\(Self.namedMAC),\(Self.namedAddress),build1",
            "--dhcp-host=\(Self.namelessMAC),\(Self.namelessAddress)",
            "--dhcp-boot=pxelinux.0", "--enable-tftp", "--tftp-root=\(tftp)",
        ]
    }

    private var nginxConfiguration: String {
        """
        daemon off;
        user root;
        worker_processes 1;
        pid \(directory)/nginx.pid;
        error_log stderr;
        events {}
        http {
            access_log \(logs)/access.log;
            client_body_temp_path \(directory)/nginx-body;
            proxy_temp_path \(directory)/nginx-proxy;
            fastcgi_temp_path \(directory)/nginx-fastcgi;
            uwsgi_temp_path \(directory)/nginx-uwsgi;
            scgi_temp_path \(directory)/nginx-scgi;
            server {
                listen \(Self.address):80;
                root \(web);
            }
        }

        """
    }

    /// The mails that have come so far, whole, oldest first.
    func mails() throws -> [String] {
        try FileTree.names(in: mail).filter { $0.hasSuffix(".eml") }.map { try FileTree.readText(mail.appending($0)) }
    }

    /// Waits for a mail that has all of these words in it, and returns it.
    func mail(with words: [String], within limit: Duration) async throws -> String {
        var found: String?
        try await eventually("a mail with \(words)", within: limit) {
            found = try mails().last { mail in words.allSatisfy { mail.contains($0) } }
            return found != nil
        }
        return found ?? ""
    }

    /// The lines of the web server's log.
    func webRequests() throws -> [Substring] {
        try FileTree.readText(logs.appending("access.log"), limit: 64 << 20).split(separator: "\n")
    }
}
