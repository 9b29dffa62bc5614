import BuildOSKit
import CHost
import Glibc

/// The host's name as the kernel has it.
enum NameSetup {
    static func set(_ name: String) throws(Errno) {
        guard sethostname(name, name.utf8.count) == 0 else { throw Errno(rawValue: errno) }
    }
}

/// What makes this host the same one after a reboot: its random numbers, its machine id, its SSH host keys (STOR-1,
/// SSH-1). None of it is precious: what can't be read is made anew, what can't be kept is reported (STOR-5).
struct IdentitySetup {
    let transport: any Transport
    let log: BootLog

    private static let seedSize = 512

    func run() async throws -> String {
        keepRandomness()
        try keepMachineID()
        giveAgentsTheirDirectory()
        var made: [String] = []
        try await withThrowingTaskGroup(of: String?.self) { group in
            for type in SSHPlan.hostKeyTypes {
                group.addTask { try await keepHostKey(type) ? type : nil }
            }
            for try await type in group { if let type { made.append(type) } }
        }
        return made.isEmpty
            ? "host keys from \(StoragePlan.stateDirectory)"
            : "new host keys: \(made.sorted().joined(separator: ", "))"
    }

    /// Gives the kernel the last boot's seed, and keeps a new one at once, so that none is ever used twice.
    private func keepRandomness() {
        let file = StoragePlan.stateDirectory.appending("random-seed")
        if let seed = try? FileTree.read(file, limit: Self.seedSize), seed.count == Self.seedSize {
            _ = chost_credit_randomness(seed, seed.count)
        }
        keep((0..<Self.seedSize).map { _ in UInt8.random(in: .min ... .max) }, at: file, "the random seed")
    }

    /// Agents, which run as user build, keep there the key by which controllers know the host, and results that wait.
    private func giveAgentsTheirDirectory() {
        let owner = AccountLookup.build
        let key = AgentUnit.authenticationKey
        let directory = key.removingLastComponent()
        try? FileTree.makeDirectory(directory, permissions: [.ownerReadWriteExecute])
        for path in [directory, key] where FileTree.exists(path) {
            // On a read-only state disk, which has been reported, it stays as it is.
            _ = chown(path.string, owner.user, owner.group)
        }
    }

    private func keepMachineID() throws {
        let file = StoragePlan.stateDirectory.appending("machine-id")
        let kept = (try? FileTree.readText(file, limit: 64)).map { String($0.prefix { $0 != "\n" }) }
        let isHex = { (text: String) in text.count == 32 && text.allSatisfy { "0123456789abcdef".contains($0) } }
        if let kept, isHex(kept) {
            try FileTree.write(kept + "\n", to: "/etc/machine-id")
            return
        }
        let digits = Array("0123456789abcdef")
        let new = String((0..<32).map { _ in digits[Int.random(in: 0..<16)] }) + "\n"
        try FileTree.write(new, to: "/etc/machine-id")
        keep(Array(new.utf8), at: file, "the machine id")
    }

    /// - Returns: whether a new key was made.
    private func keepHostKey(_ type: String) async throws -> Bool {
        let kept = SSHPlan.keptHostKey(type)
        let used = SSHPlan.hostKey(type)
        let publicFile = FilePath(used.string + ".pub")
        if let text = try? FileTree.readText(kept, limit: 1 << 16) {
            if let publicKey = OpenSSHKey.publicKey(ofPrivateKey: text) {
                try FileTree.write(text, to: used, permissions: .ownerReadWrite)
                try FileTree.write(publicKey + "\n", to: publicFile)
                return false
            }
            log.report(
                HostReport(
                    .storage,
                    subject: "an SSH host key is damaged",
                    text: "\(kept) is no private key; a new one is made, and who logs in will be warned of it."
                )
            )
        }
        try FileTree.remove(used)
        try await transport.check(
            Command("/usr/bin/ssh-keygen", ["-q", "-t", type, "-N", "", "-C", "", "-f", used.string]),
            timeLimit: .seconds(120)
        )
        keep(try FileTree.read(used), at: kept, "an SSH host key")
        return true
    }

    private func keep(_ bytes: [UInt8], at file: FilePath, _ what: String) {
        do {
            try FileTree.makeDirectory(
                file.removingLastComponent(),
                permissions: [.ownerReadWriteExecute]
            )
            try FileTree.write(bytes, to: file, permissions: .ownerReadWrite)
        } catch {
            // A read-only state disk has been reported already.
            if error.errno == .readOnlyFileSystem { return }
            log.report(
                HostReport(
                    .storage,
                    subject: error.errno == .noSpace ? "the state disk is full" : "the state disk can't be written to",
                    text: "\(what.prefix(1).uppercased() + what.dropFirst()) can't be kept: \(error)"
                )
            )
        }
    }
}
