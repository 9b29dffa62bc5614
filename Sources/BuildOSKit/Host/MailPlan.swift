/// How the host's mail gets out (MAIL-1).
///
/// Mail for anybody on the host goes to the administrator: through the relay if there is one, else straight to the
/// mail server of the administrator's domain. Without an administrator mail is dropped. Nothing is ever delivered on
/// the host, whose disk is RAM, and nothing is accepted from other machines.
public struct MailPlan: Sendable, Hashable {
    /// Who gets the mail.
    public let administrator: MailAddress?
    /// What it goes through.
    public let relay: RelayHost?
    /// From whom it comes.
    public let hostName: HostName

    /// Plans the host's mail.
    public init(_ configuration: HostConfiguration, hostName: HostName) {
        administrator = configuration.adminEmail
        relay = configuration.smtpRelay
        self.hostName = hostName
    }

    /// The files of postfix.
    public var files: [HostFile] { [main, virtual, aliases] }

    private var main: HostFile {
        let transport =
            administrator == nil
            ? "default_transport = discard:\nlocal_transport = discard:"
            : "local_transport = error:there are no mailboxes on a build host"
        return HostFile(
            "/etc/postfix/main.cf",
            """
            # Made by 'buildosd init' at this boot.
            compatibility_level = 3.6
            myhostname = \(hostName.domain == nil ? hostName.name + ".localdomain" : hostName.full)
            myorigin = $myhostname
            mydestination = $myhostname, \(hostName.name), localhost
            mynetworks = 127.0.0.0/8 [::1]/128
            inet_interfaces = loopback-only
            relayhost =\(relayText.map { " \($0)" } ?? "")
            \(transport)
            virtual_alias_maps = texthash:/etc/postfix/virtual
            alias_maps =
            alias_database =
            smtp_sasl_auth_enable = no
            smtp_tls_security_level = may
            smtp_address_preference = ipv4
            maximal_queue_lifetime = 1d
            bounce_queue_lifetime = 0
            minimal_backoff_time = 60s
            queue_run_delay = 60s
            biff = no

            """
        )
    }

    /// In brackets, so that no mail server other than this one is looked up.
    private var relayText: String? {
        relay.map { "[\($0.host.contains(":") ? "ipv6:" : "")\($0.host)]" + ($0.port.map { ":\($0)" } ?? "") }
    }

    private var virtual: HostFile {
        let names = administrator == nil ? [] : ["root", "build", "postmaster", "mailer-daemon"]
        let lines = names.map { "\($0) \(administrator?.text ?? "")" }
        return HostFile(
            "/etc/postfix/virtual",
            (["# Made by 'buildosd init' at this boot: who on this host is whom."] + lines).joined(separator: "\n")
                + "\n"
        )
    }

    /// Not read by postfix here; for programs and people who look there.
    private var aliases: HostFile {
        HostFile(
            "/etc/aliases",
            administrator.map { "root: \($0)\nbuild: root\n" } ?? "# no buildos.admin_email was given\n"
        )
    }
}
