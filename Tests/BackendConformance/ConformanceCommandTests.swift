import BuildOSKit
import Glibc
import LocalTransport
import TestSupport
import Testing

@Suite("BACK-3: buildosctl conformance", .serialized) struct ConformanceCommandTests {
    /// `<Name>` of every staged module; that none is missing is tested in ``ModuleLoading``.
    private static let staged = ((try? FileTree.names(in: StagedTree.modules)) ?? []).sorted()

    @Test("every staged module passes", arguments: staged)
    func passes(module: String) async throws {
        try await withEnvironment(for: module) { environment in
            let result = try await buildosctl(
                ["conformance", "--module", StagedTree.modules.appending(module).string, "--format", "json"]
                    + environment + (Requirements.areAllRequired ? ["--require-all"] : [])
            )
            #expect(result.status == .exited(0), "\(result.errorText)")
            let lines = result.errorText.split(separator: "\n")
            for line in lines where line.hasPrefix("    because") { print("skipped in \(module):\(line)") }
            #expect(lines.contains { $0.hasPrefix("  passed   ") }, "\(result.errorText)")
        }
    }

    /// The options that say what the module's backends can be checked with.
    private func withEnvironment(for module: String, _ body: ([String]) async throws -> Void) async throws {
        let inventory = LoadedModules.inventory
        let backends = inventory.modules.first { "lib\($0.name).so" == module }?.backends ?? []
        let providers = inventory.registry.providers.filter { backends.contains($0.identity) }
        if providers.contains(where: { ($0 as? any TransportProvider)?.capabilities.remote == true }) {
            guard Requirements.isMet(geteuid() == 0, "sshd for tests needs root") else { return }
            try await withSSHServer(by: LocalTransport()) { server in
                try await body([
                    "--host", "127.0.0.1:\(server.port)", "--identity", server.clientKey.string,
                    "--known-hosts", server.knownHosts.string,
                    "--ssh-config", server.directory.appending("ssh_config").string,
                ])
            }
        } else if providers.contains(where: { $0 is any VirtualMachineProvider }) {
            guard await TestGuest.isMade() else { return }
            var options = ["--guest", TestGuest.directory.string]
            // The whole suite runs on the loaded module elsewhere: these see that the command has what it needs.
            options += ["--check", "switches itself off", "--check", "heeds the power button"]
            if providers.contains(where: { $0.identity.name == "libvirt" }) {
                guard Requirements.isMet(geteuid() == 0, "libvirtd for tests needs root") else { return }
                options += ["--hypervisor", try await PrivateLibvirtd.shared(by: LocalTransport()).uri]
            }
            try await body(options)
        } else if geteuid() == 0, providers.contains(where: { $0 is any MachineStorageProvider }) {
            // Small enough to be filled; a storage that is at home elsewhere gets a btrfs from the command.
            try await withVolume("ext4", mebibytes: 256, by: LocalTransport()) { volume in
                try await body(["--volume", volume.string])
            }
        } else {
            try await body([])
        }
    }

    @Test("a single check is run by a part of its name")
    func oneCheck() async throws {
        let module = StagedTree.modules.appending("libTFTPStore.so")
        let result = try await buildosctl(["conformance", "--module", module.string, "--check", "never published"])
        #expect(result.status == .exited(0))
        #expect(result.outputText.contains("\ntftp (artifact-store): 1 passed, 0 failed, 0 skipped, in "))
    }

    @Test("a module that can't be loaded, and a backend that isn't in it, are told; there is nothing to check")
    func nothingToCheck() async throws {
        try await withTemporaryDirectory { directory in
            let file = directory.appending("libBroken.so")
            try FileTree.write("no library", to: file)
            let broken = try await buildosctl(["conformance", "--module", file.string])
            #expect(broken.status == .exited(2))
            #expect(broken.errorText.contains("\(file): it is not an ELF shared object"))
        }
        let module = StagedTree.modules.appending("libTFTPStore.so")
        let other = try await buildosctl(["conformance", "--module", module.string, "--backend", "other"])
        #expect(other.status == .exited(2))
        #expect(other.errorText.contains("no such backend (it has tftp (artifact-store))"))
        let unknown = try await buildosctl(["conformance", "--module", module.string, "--check", "no such check"])
        #expect(unknown.status == .exited(2))
        #expect(unknown.errorText.contains("no check has a name like that"))
    }

    @Test("doctor shows a module that can't be loaded, with the remedy, and exits with 2")
    func doctor() async throws {
        try await withTemporaryDirectory { directory in
            try FileTree.write("no library", to: directory.appending("libBroken.so"))
            let result = try await buildosctl(["doctor", "--module-path", directory.string])
            #expect(result.status == .exited(2))
            #expect(result.outputText.contains("MISSES  module \(directory)/libBroken.so\n"))
            #expect(result.outputText.contains("problem  it is not an ELF shared object\n"))
            #expect(result.outputText.contains("remedy   reinstall it\n"))
            #expect(result.outputText.contains("ready   backend local (transport)\n"))
        }
    }

    private func buildosctl(_ arguments: [String]) async throws -> CommandResult {
        try await LocalTransport().run(
            Command(StagedTree.program("buildosctl").string, arguments),
            input: .none,
            output: .collected(limit: 4 << 20),
            error: .collected(limit: 4 << 20),
            timeLimit: .seconds(900)
        )
    }
}
