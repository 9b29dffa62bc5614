import TestSupport
import Testing

@testable import BuildOSKit

@Suite("BOT-3: typed manifests") struct TypedManifestTests {
    static let machine = """
        : 1
        id: linux_debian_12-gcc_13.1-1.3
        name: x86_64-linux_debian_12-gcc_13.1
        summary: Debian 12 with GCC 13.1
        type: kvm
        mac: de:ad:be:ef:de:ad
        options:
        \\
        -device "virtio-scsi-pci,id=scsi"
        -netdev "tap,id=net0,ifname=?,script=no"
        -append 'console=ttyS0 quiet'
        \\
        changes:
        \\
        1.3
          - Upgrade
        \\

        """

    @Test("MACH-1: a machine's manifest, and a bootstrapped one's, are read as they were written")
    func machines() async throws {
        let manifest = try #require(try ManifestParser.parse(Self.machine.utf8, source: "m").first)
        let machine = try MachineManifest(manifest, source: "m")
        #expect(machine.header.name == "x86_64-linux_debian_12-gcc_13.1")
        #expect(machine.macAddress?.description == "de:ad:be:ef:de:ad")
        #expect(
            machine.options == [
                "-device", "virtio-scsi-pci,id=scsi", "-netdev", "tap,id=net0,ifname=?,script=no", "-append",
                "console=ttyS0 quiet",
            ]
        )
        #expect(try MachineManifest(machine.manifest, source: "m") == machine)
        try await withTemporaryDirectory { directory in
            let bootstrapped = BootstrappedManifest(
                machine: machine,
                toolchainID: "abc",
                bootstrap: BootstrapManifest(versions: ["bbot": "0.18.0", "libbutl": "0.18.0"])
            )
            try bootstrapped.write(to: directory)
            #expect(try BootstrappedManifest(machineAt: directory) == bootstrapped)
        }
    }

    @Test(
        "MACH-1: machines that can't be run here are refused",
        arguments: [
            ("type: kvm", "type: nspawn"), ("mac: de:ad:be:ef:de:ad", "mac: de:ad"), ("type: kvm", "role: other"),
            ("script=no\"", "script=no"), ("type: kvm", "type: kvm\nram-minimum: 0"), ("summary: ", "other: "),
        ]
    )
    func badMachines(old: String, new: String) throws {
        let text = Self.machine.replacing(old, with: new)
        let manifest = try #require(try ManifestParser.parse(text.utf8, source: "m").first)
        #expect(throws: ManifestError.self) { try MachineManifest(manifest, source: "m") }
    }

    @Test("BOT-3: a task request is what controllers expect")
    func request() throws {
        let request = TaskRequest(
            agent: "bot",
            toolchainName: try ToolchainName("dev"),
            toolchainVersion: "0.17.0-a.1",
            machines: [
                MachineHeader(id: "a2b0", name: "linux_debian_12-gcc_13.1", summary: "Linux Debian 12 GCC 13.1")
            ]
        )
        #expect(
            String(decoding: try ManifestSerializer.serialize(request.manifests), as: UTF8.self) == """
                : 1
                agent: bot
                toolchain-name: dev
                toolchain-version: 0.17.0-a.1
                :
                id: a2b0
                name: linux_debian_12-gcc_13.1
                summary: Linux Debian 12 GCC 13.1

                """
        )
    }

    @Test("BOT-3: an answer without a task, one with a task, and answers that are none")
    func responses() throws {
        func response(_ text: String) throws -> TaskResponse {
            try TaskResponse(try ManifestParser.parse(text.utf8, source: "c"), source: "c")
        }
        #expect(try response(": 1\nsession:\n").assignment == nil)
        let task = ":\nname: a\nversion: 1\nrepository-url: https://x/1\nmachine: m\ntarget: t\nmore: kept\n"
        let url = "result-url: http://h/?build-result\n"
        let challenge = String(repeating: "a", count: 64)
        let full = try response(
            ": 1\nsession: /a/1\nchallenge: \(challenge)\n\(url)bindist-upload-url: http://h/?upload=bindist\n\(task)"
        )
        #expect(full.assignment?.uploadURLs.keys.sorted() == ["bindist"])
        #expect(full.assignment?.task.manifest["more"] == "kept")
        for text in [
            "", ": 1\nsession: x\n\(url)", ": 1\nsession: x\n\(task)", ": 1\nsession:\n\(task)",
            ": 1\nsession: x\nchallenge: ab\n\(url)\(task)", ": 1\nsession: x\nresult-url: file:///etc/passwd\n\(task)",
            ": 1\nsession: x\n\(url)\(task.replacing("machine: m\n", with: ""))",
        ] {
            #expect(throws: ManifestError.self, "\(text)") { try response(text) }
        }
    }

    @Test("BOT-3: a worker is given no trust but what the host is configured for")
    func trust() throws {
        let known = Array(repeating: "AA", count: 32).joined(separator: ":")
        let other = Array(repeating: "BB", count: 32).joined(separator: ":")
        let pairs = [
            ("name", "a"), ("version", "1"), ("repository-url", "x"), ("trust", "yes"), ("trust", known),
            ("trust", other), ("machine", "m"), ("target", "t"), ("worker-checksum", "1"),
            ("auxiliary-environment", "X=y"),
        ]
        let task = try BuildTask(Manifest(pairs.map { ManifestPair($0, $1) }), source: "c")
        let passed = task.forWorker(trusted: [try CertificateFingerprint(known)], keepsChecksums: false)
        #expect(passed.pairs.map(\.name) == ["name", "version", "repository-url", "trust", "machine", "target"])
        #expect(passed["trust"] == known)
        #expect(task.forWorker(trusted: [], keepsChecksums: true)["worker-checksum"] == "1")
    }

    @Test("BOT-3: results are read and written in the order of the protocol; contradictions are refused")
    func results() throws {
        func result(_ text: String) throws -> BuildResult {
            let manifest = try #require(try ManifestParser.parse(": 1\n\(text)".utf8, source: "w").first)
            return try BuildResult(manifest, source: "w")
        }
        let text = "name: a\nversion: 1\nstatus: error\nupdate-status: success\ntest-status: error\n"
        let whole = try result(text + "update-log: fine\ntest-log: bad\nworker-checksum: 2\n")
        #expect(whole.operations.map(\.name) == ["update", "test"])
        #expect(
            whole.manifest.pairs.map(\.name) == [
                "name", "version", "status", "update-status", "test-status", "update-log", "test-log",
                "worker-checksum",
            ]
        )
        for bad in [
            "name: a\nversion: 1\n", "name: a\nversion: 1\nstatus: fine\n", text + "other-log: x\n",
            text + "test-status: error\n", text + "test-log: x\ntest-log: x\n",
        ] {
            #expect(throws: ManifestError.self, "\(bad)") { try result(bad) }
        }
        #expect(ResultStatus.abnormal > .error && ResultStatus.skip < .success)
    }

    @Test("BOT-3: logs too large for a controller are cut in their middles")
    func longLogs() {
        var result = BuildResult(name: "a", version: "1", status: .error)
        result.operations = [
            BuildResult.Operation("update", .success, log: String(repeating: "u", count: 3_000_000)),
            BuildResult.Operation("test", .error, log: "first" + String(repeating: "t", count: 1_000_000) + "last"),
        ]
        result.limitLogs(bytes: 1_000_000)
        let logs = result.operations.compactMap(\.log)
        #expect(logs.reduce(0) { $0 + $1.utf8.count } <= 1_000_000)
        #expect(logs[1].hasPrefix("first") && logs[1].hasSuffix("last") && logs[1].contains("bytes left out"))
    }
}
