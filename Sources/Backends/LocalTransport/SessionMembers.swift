import Glibc

/// The processes of a session, from /proc (proc(5), "stat", field 6).
enum SessionMembers {
    static func of(_ session: pid_t) -> [pid_t] {
        guard let directory = opendir("/proc") else { return [] }
        defer { closedir(directory) }
        var members: [pid_t] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard let process = pid_t(name), Self.session(of: process) == session else { continue }
            members.append(process)
        }
        return members
    }

    /// `nil` for a process that is gone or a zombie.
    private static func session(of process: pid_t) -> pid_t? {
        let file = open("/proc/\(process)/stat", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 512)
        let count = read(file, &buffer, buffer.count)
        guard count > 0 else { return nil }
        // The command's name may hold anything, `)` included; what counts comes after the last one.
        let fields = String(decoding: buffer.prefix(count), as: UTF8.self)
            .split(separator: ")", omittingEmptySubsequences: false).last?
            .split(separator: " ")
        guard let fields, fields.count > 3, fields[0] != "Z", fields[0] != "X" else { return nil }
        return pid_t(fields[3])
    }
}
