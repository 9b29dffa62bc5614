/// Who may log in (SSH-1).
public enum SSHPlan {
    /// The types of host keys, by their names in file names.
    public static let hostKeyTypes = ["ed25519", "ecdsa"]

    /// Where the server reads its keys: in RAM, so that it works on when the state disk fails.
    public static func hostKey(_ type: String) -> FilePath { FilePath("/etc/ssh/ssh_host_\(type)_key") }

    /// Where a key is kept across boots.
    public static func keptHostKey(_ type: String) -> FilePath {
        StoragePlan.stateDirectory.appending("ssh").appending("ssh_host_\(type)_key")
    }

    /// The server's configuration and the keys of user build.
    public static func files(keys: [AuthorizedKey]) -> [HostFile] {
        [
            HostFile(
                "/etc/ssh/sshd_config.d/buildos.conf",
                """
                # User build, by key, and nobody else.
                \(hostKeyTypes.map { "HostKey \(hostKey($0))" }.joined(separator: "\n"))
                PasswordAuthentication no
                KbdInteractiveAuthentication no
                PermitRootLogin no
                AllowUsers build
                AuthorizedKeysFile .ssh/authorized_keys
                X11Forwarding no
                UseDNS no

                """
            ),
            HostFile(
                "/build/.ssh/authorized_keys",
                permissions: .ownerReadWrite,
                isOwnedByBuild: true,
                keys.map { "\($0)\n" }.joined()
            ),
        ]
    }
}
