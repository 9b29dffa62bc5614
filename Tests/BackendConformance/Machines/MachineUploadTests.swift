import BtrfsStorage
import BuildOSConformance
import BuildOSKit
import Glibc
import LocalTransport
import Synchronization
import TestSupport
import Testing

@Suite("Machines are brought to a host, on btrfs") struct MachineUploadTests {
    @Test("MACH-1, MACH-2, MACH-5: a machine is added whole: link, read-only image, owner, and the image as received")
    func add() async throws {
        try await MachineLab.run { lab in
            try await lab.makeImage("1.0")
            let owner = FileOwner(user: 4321, group: 1234)
            let report = try await lab.upload("1.0", to: InProcessHost(lab: lab, owner: owner))
            #expect(report.error == nil)
            #expect(report.plan?.action == .full)
            #expect(report.receipt?.now == MachineRevision("1.0") && report.receipt?.before == nil)
            #expect(try await lab.revisionInEffect() == "1.0")
            let contents = try await lab.contents()
            #expect(contents.revisions.count == 1 && contents.received.count == 1)
            #expect(try FileTree.names(in: lab.directory) == [".received", "linux-gcc_6-1", "linux-gcc_6-1.0"])
            for name in ["", "disk.img", "firmware", "firmware/vars/a", "link"] {
                var status = stat()
                let path = "\(lab.directory.appending("linux-gcc_6-1.0"))/\(name)"
                #expect(lstat(path, &status) == 0 && status.st_uid == 4321 && status.st_gid == 1234, "\(name)")
            }
            var status = stat()
            #expect(lstat(lab.desk.appending("linux-gcc_6-1.0/disk.img").string, &status) == 0 && status.st_uid == 0)
            try await lab.requireNothingLeaked()
        }
    }

    @Test("MACH-3: an upgrade sends what differs, and prunes what is no longer wanted")
    func upgrade() async throws {
        try await MachineLab.run { lab in
            try await lab.makeImage("1.0")
            try await lab.makeImage("1.1", from: "1.0")
            try await lab.makeImage("1.2", from: "1.1")
            let whole = try #require(try await lab.upload("1.0").receipt).received
            let report = try await lab.upload("1.1")
            #expect(report.plan?.action == .incremental && report.plan?.base == "linux-gcc_6-1.0")
            let difference = try #require(report.receipt)
            #expect(difference.received * 20 < whole)
            #expect(difference.before == MachineRevision("1.0") && difference.now == MachineRevision("1.1"))
            #expect(try await lab.revisionInEffect() == "1.1")
            var options = UploadOptions()
            options.keep = 2
            options.intent = .upgrade
            let pruning = try await lab.upload("1.2", options)
            #expect(pruning.receipt?.pruned == [try #require(MachineRevision("1.0"))])
            #expect(try await lab.revisionInEffect() == "1.2")
            try await lab.requireNothingLeaked()
            // Once more: it is there.
            let again = try await lab.upload("1.2")
            #expect(again.plan?.action == .nothing && again.receipt?.received == 0)
        }
    }

    @Test("MACH-1, MACH-3: a machine of plain directories comes to a btrfs host, whole and by what differs")
    func plainDirectories() async throws {
        try await MachineLab.run(desk: "ext4") { lab in
            try await lab.makeImage("1.0")
            let whole = try #require(try await lab.upload("1.0").receipt).received
            #expect(try await lab.revisionInEffect() == "1.0")
            var status = stat()
            #expect(
                lstat(lab.directory.appending("linux-gcc_6-1.0/link").string, &status) == 0
                    && status.st_mode & S_IFMT == S_IFLNK
            )
            try await lab.makeImage("1.1", from: "1.0")
            let room = try await lab.storage.space(of: lab.root).available
            let report = try await lab.upload("1.1")
            #expect(report.plan?.action == .incremental && report.plan?.base == "linux-gcc_6-1.0")
            #expect(try #require(report.receipt).received * 20 < whole)
            #expect(try await lab.revisionInEffect() == "1.1")
            try await lab.storage.synchronize(lab.root)
            // The 4 MiB of its disk are those of its parent.
            #expect(room - (try await lab.storage.space(of: lab.root).available) < 2 << 20)
            try await lab.requireNothingLeaked()
            #expect(try await lab.upload("1.1").plan?.action == .nothing)
            try await lab.storage.setReadOnly(false, lab.directory.appending(".received/linux-gcc_6-1.1"))
            try await lab.makeImage("1.2", from: "1.1")
            // What was changed on the host is no parent any more.
            #expect(try await lab.upload("1.2").plan?.base == "linux-gcc_6-1.0")
            #expect(try await lab.revisionInEffect() == "1.2")
        }
    }

    @Test("MACH-9: a dry run says to the byte what would be sent, and sends nothing")
    func dryRun() async throws {
        try await MachineLab.run { lab in
            try await lab.makeImage("1.0")
            var options = UploadOptions()
            options.isDryRun = true
            let dry = try await lab.upload("1.0", options)
            #expect(dry.plan?.action == .full && dry.receipt == nil)
            #expect(!FileTree.exists(lab.directory) && !FileTree.exists(lab.volume.appending(".uploads")))
            let wet = try await lab.upload("1.0")
            #expect(dry.bytes == wet.receipt?.received)
        }
    }

    @Test("MACH-9: compressed on the way, it is the same machine")
    func compressed() async throws {
        try await MachineLab.run { lab in
            try await lab.makeImage("1.0")
            var options = UploadOptions()
            options.compression = .always
            let report = try await lab.upload("1.0", options)
            #expect(report.error == nil && report.compression == .zstd)
            #expect(try await lab.revisionInEffect() == "1.0")
        }
    }

    @Test("MACH-9: an interrupted upload goes on where it stopped, compressed or not", arguments: [false, true])
    func resume(compressed: Bool) async throws {
        try await MachineLab.run { lab in
            try await lab.makeImage("1.0")
            var options = UploadOptions()
            options.compression = compressed ? .always : .never
            let cut = CuttingTransport(InProcessHost(lab: lab), after: 1 << 20)
            let first = try await lab.upload("1.0", options, to: cut)
            #expect(first.error?.kind == .interrupted, "\(String(describing: first.error))")
            #expect(try await lab.revisionInEffect() == nil)
            let second = try await lab.upload("1.0", options)
            let receipt = try #require(second.receipt, "\(String(describing: second.error))")
            #expect(receipt.resumed >= 512 << 10)
            #expect(receipt.received + receipt.resumed >= 4 << 20)
            #expect(try await lab.revisionInEffect() == "1.0")
            try await lab.requireNothingLeaked()
        }
    }

    @Test("MACH-9: a spool is bounded, and none is kept where none is wanted")
    func boundedSpool() async throws {
        try await MachineLab.run { lab in
            try await lab.makeImage("1.0")
            var options = UploadOptions()
            options.compression = .never
            let limit: Int64 = 256 << 10
            _ = try await lab.upload(
                "1.0",
                options,
                to: CuttingTransport(InProcessHost(lab: lab, spoolLimit: limit), after: 2 << 20)
            )
            let spools = try FileTree.names(in: lab.volume.appending(".uploads")).filter { $0.hasSuffix(".spool") }
            #expect(spools.count == 1)
            for spool in spools {
                var status = stat()
                #expect(
                    lstat(lab.volume.appending(".uploads").appending(spool).string, &status) == 0
                        && status.st_size <= limit
                )
            }
            let report = try await lab.upload("1.0", options, to: InProcessHost(lab: lab, spoolLimit: limit))
            #expect(report.receipt?.resumed == limit)
            try await lab.requireNothingLeaked()

            try await lab.makeImage("1.1")
            options.spools = false
            _ = try await lab.upload("1.1", options, to: CuttingTransport(InProcessHost(lab: lab), after: 2 << 20))
            try await lab.requireNothingLeaked()
            #expect(try await lab.upload("1.1", options).receipt?.resumed == 0)
            #expect(try await lab.revisionInEffect() == "1.1")
        }
    }

    @Test("MACH-9: what a power cut left wrong in the spool is sent again")
    func damagedSpool() async throws {
        try await MachineLab.run { lab in
            try await lab.makeImage("1.0")
            var options = UploadOptions()
            options.compression = .never
            _ = try await lab.upload("1.0", options, to: CuttingTransport(InProcessHost(lab: lab), after: 2 << 20))
            let name = try #require(
                try FileTree.names(in: lab.volume.appending(".uploads")).first { $0.hasSuffix(".spool") }
            )
            let spool = try FileDescriptor.open(lab.volume.appending(".uploads").appending(name), .readWrite)
            try spool.closeAfter {
                _ = try spool.writeAll(toAbsoluteOffset: 200 << 10, [UInt8](repeating: 0, count: 4096))
            }
            let receipt = try #require(try await lab.upload("1.0", options).receipt)
            #expect(receipt.resumed == 3 * 64 << 10)
            #expect(try await lab.revisionInEffect() == "1.0")
        }
    }

    @Test("MACH-9: many hosts at once; what fails with one concerns no other")
    func fanOut() async throws {
        try await MachineLab.run { lab in
            try await lab.makeImage("1.0")
            for name in ["b", "c"] { try FileTree.makeDirectory(lab.root.appending("hosts/\(name)/default")) }
            func host(_ name: String) -> InProcessHost {
                InProcessHost(lab: lab, root: lab.root.appending("hosts/\(name)"))
            }
            var options = UploadOptions()
            options.chunkSize = 64 << 10
            let uploader = MachineUploader(
                storage: lab.storage,
                transport: lab.transport,
                source: lab.desk.appending("linux-gcc_6-1.0"),
                options: options
            )
            let reports = try await uploader.upload(
                to: [
                    lab.target("a"), lab.target("b", transport: host("b")), lab.target("c", transport: host("c")),
                    lab.target("gone", transport: host("gone")),
                    lab.target("cut", transport: CuttingTransport(host("c"), after: 1000)),
                ]
            ) { _, _ in }
            #expect(reports.map(\.host) == ["a", "b", "c", "gone", "cut"])
            #expect(reports.prefix(3).allSatisfy { $0.error == nil && $0.receipt?.now == MachineRevision("1.0") })
            #expect(reports[3].error?.kind == .notFound)
            #expect(reports[4].error?.kind == .interrupted || reports[4].error?.kind == .busy)
            #expect(try await lab.revisionInEffect() == "1.0")
            #expect(FileTree.exists(lab.root.appending("hosts/b/default/linux-gcc_6/linux-gcc_6-1/disk.img")))
        }
    }
}

/// Not a connection: one that ends after a number of bytes to the host, as lines and hosts do.
final class CuttingTransport: Transport {
    let backendName = "cutting"
    let capabilities = TransportCapabilities(remote: false)
    private let inner: any Transport
    private let limit: Int

    init(_ inner: any Transport, after limit: Int) {
        self.inner = inner
        self.limit = limit
    }

    func run(
        _ command: Command,
        input: CommandInput,
        output: CommandOutput,
        error: CommandOutput,
        timeLimit: Duration?
    ) async throws(TransportError) -> CommandResult {
        guard case .descriptor(let source) = input else { throw TransportError(.unsupported, command: command) }
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else {
            throw TransportError(.inputOutput, command: command)
        }
        let (near, far) = (FileDescriptor(rawValue: ends[0]), FileDescriptor(rawValue: ends[1]))
        let limit = limit
        async let copying: Bool = DedicatedThread.run(name: "cutter") {
            var (left, buffer) = (limit, [UInt8](repeating: 0, count: 4096))
            defer { try? near.close() }
            while left > 0 {
                guard let count = try? buffer.withUnsafeMutableBytes({ try source.read(into: $0) }), count > 0 else {
                    return false
                }
                let sent = buffer.withUnsafeBytes {
                    send(near.rawValue, $0.baseAddress, min(count, left), Int32(MSG_NOSIGNAL))
                }
                guard sent > 0 else { return false }
                left -= count
            }
            return true
        }
        _ = try await inner.run(command, input: .descriptor(far), output: output, error: error, timeLimit: timeLimit)
        try? far.close()
        guard await copying else { return CommandResult(status: .exited(0)) }
        throw TransportError(.connectionLost, command: command)
    }

    func upload(
        _ file: FilePath,
        to destination: FilePath,
        permissions: FilePermissions,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(TransportError) {
        throw TransportError(.unsupported, subject: file.string)
    }

    func download(
        _ file: FilePath,
        to destination: FilePath,
        progress: (@Sendable (Int64) -> Void)?
    ) async throws(TransportError) {
        throw TransportError(.unsupported, subject: file.string)
    }
}
