import BtrfsStorage
import BuildOSConformance
import BuildOSKit
import DirectoryStorage
import Glibc
import LocalTransport
import TestSupport
import Testing

/// A desk and a host, each with a file system of its own, btrfs unless said otherwise, and images to bring from one to the other.
struct MachineLab: Sendable {
    static let machine = "linux-gcc_6"

    /// Where the images are made.
    let desk: FilePath
    /// The host's directory of volumes; `default` is one.
    let root: FilePath
    let storage: any MachineStorage
    let deskStorage: any MachineStorage
    let transport: any Transport = LocalTransport()

    var layout: MachineLayout { MachineLayout(root: root) }
    var volume: FilePath { root.appending("default") }
    var directory: FilePath { volume.appending(Self.machine) }

    /// Runs a closure with a lab; `nil` where file systems can't be mounted.
    ///
    /// - Parameter desk: the desk's file system; `btrfs`, or one for plain directories.
    static func run(
        mebibytes: Int = 256,
        desk kind: String = "btrfs",
        _ body: (MachineLab) async throws -> Void
    ) async throws {
        guard Requirements.isMet(geteuid() == 0, "mounting a btrfs file system needs root") else { return }
        let transport: any Transport = LocalTransport()
        try await withVolume(kind, mebibytes: 256, by: transport) { desk in
            try await withVolume("btrfs", mebibytes: mebibytes, by: transport) { host in
                let storage = try BtrfsStorage()
                let deskStorage: any MachineStorage = kind == "btrfs" ? storage : DirectoryStorage()
                try FileTree.makeDirectory(host.appending("default"))
                try await body(MachineLab(desk: desk, root: host, storage: storage, deskStorage: deskStorage))
            }
        }
    }

    static func name(_ rest: String) -> String { "\(machine)-\(rest)" }

    /// Makes an image on the desk, from an earlier one if that is named; one file of it is as large as asked for.
    @discardableResult
    func makeImage(_ revision: String, from base: String? = nil, kibibytes: Int = 4096) async throws -> FilePath {
        let work = desk.appending("work-\(revision)")
        if let base {
            try await deskStorage.snapshot(desk.appending(Self.name(base)), to: work, readOnly: false)
        } else {
            try await deskStorage.create(work)
            var generator = SeededGenerator(seed: UInt64(kibibytes))
            let words = (0..<(kibibytes * 128)).map { _ in generator.next() }
            try FileTree.write(words.withUnsafeBytes { Array($0) }, to: work.appending("disk.img"))
            try FileTree.makeDirectory(work.appending("firmware/vars"))
            try FileTree.write("firmware", to: work.appending("firmware/vars/a"))
            guard symlink("disk.img", work.appending("link").string) == 0 else { throw Errno(rawValue: errno) }
        }
        try FileTree.write("revision \(revision)\n", to: work.appending("revision"))
        let image = desk.appending(Self.name(revision))
        try await deskStorage.snapshot(work, to: image, readOnly: true)
        return image
    }

    func target(_ label: String = "host", transport: (any Transport)? = nil) -> UploadTarget {
        UploadTarget(
            label: label,
            transport: transport ?? InProcessHost(lab: self),
            receiver: Command("buildosctl", ["machine", "receive"])
        )
    }

    /// Uploads an image to the lab's host, by a receiver in this process unless there is a transport.
    @discardableResult
    func upload(
        _ revision: String,
        _ options: UploadOptions = UploadOptions(),
        to transport: (any Transport)? = nil,
        report: @escaping @Sendable (UploadEvent) -> Void = { _ in }
    ) async throws -> UploadReport {
        var options = options
        if options.chunkSize == UploadOptions().chunkSize { options.chunkSize = 64 << 10 }
        let uploader = MachineUploader(
            storage: deskStorage,
            transport: self.transport,
            source: desk.appending(Self.name(revision)),
            options: options
        )
        let reports = try await uploader.upload(to: [target(transport: transport)]) { report($1) }
        guard let report = reports.first, reports.count == 1 else { throw ConformanceFailure("no report") }
        return report
    }

    func contents() async throws -> MachineContents {
        try await view().contents()
    }

    func keeper() throws -> MachineKeeper { MachineKeeper(try view(), owner: nil) }

    private func view() throws -> MachineDirectory {
        MachineDirectory(storage: storage, layout: layout, volume: .default, machine: try MachineName(Self.machine))
    }

    /// What a reader sees: the content of the image in effect; `nil` if there is no link.
    ///
    /// - Throws: if the link leads to anything but a whole read-only image.
    func revisionInEffect() async throws -> String? {
        let link = directory.appending(Self.name("1"))
        guard FileTree.exists(link) else { return nil }
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink(link.string, &buffer, buffer.count)
        guard count > 0 else { throw ConformanceFailure("\(link) is not a link") }
        let target = String(decoding: buffer.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
        let image = directory.appending(target)
        let subvolume = try await storage.subvolume(at: image)
        try demand(subvolume.isReadOnly, "the link leads to \(target), which is writable")
        let original = desk.appending(target)
        for file in ["disk.img", "revision", "firmware/vars/a"] {
            let (there, here) = (
                try FileTree.read(image.appending(file), limit: 1 << 28),
                try FileTree.read(original.appending(file), limit: 1 << 28)
            )
            try demand(there == here, "\(file) of \(target) is not what was sent")
        }
        return try FileTree.readText(image.appending("revision")).split(separator: " ").last.map {
            String($0.dropLast())
        }
    }

    /// Fails if anything is left in the hidden places that belongs to nothing.
    func requireNothingLeaked() async throws {
        let uploads = volume.appending(".uploads")
        if FileTree.exists(uploads) {
            let names = try FileTree.names(in: uploads)
            try demand(
                names.allSatisfy { $0.hasSuffix(".lock") || $0.hasSuffix(".journal") },
                "left in .uploads: \(names)"
            )
        }
        guard FileTree.exists(directory) else { return }
        let contents = try await contents()
        let received = try await storage.subvolumes(in: directory.appending(".received")).map(\.name)
        try demand(
            received == contents.revisions.map { Self.name("\($0.revision)") },
            "received \(received), in place \(contents.revisions.map(\.revision))"
        )
        let names = try FileTree.names(in: directory)
        try demand(!names.contains { $0.hasPrefix(".") && $0 != ".received" }, "left: \(names)")
    }
}

/// Not a host: runs the receiver in this process, so that what crosses can be looked at and cut at any byte.
final class InProcessHost: Transport {
    let backendName = "in-process"
    let capabilities = TransportCapabilities(remote: false)
    private let lab: MachineLab
    private let owner: FileOwner?
    private let spoolLimit: Int64
    private let root: FilePath

    init(lab: MachineLab, owner: FileOwner? = nil, spoolLimit: Int64 = 1 << 30, root: FilePath? = nil) {
        self.lab = lab
        self.owner = owner
        self.spoolLimit = spoolLimit
        self.root = root ?? lab.root
    }

    func run(
        _ command: Command,
        input: CommandInput,
        output: CommandOutput,
        error: CommandOutput,
        timeLimit: Duration?
    ) async throws(TransportError) -> CommandResult {
        guard case .descriptor(let source) = input, case .descriptor(let sink) = output else {
            throw TransportError(.unsupported, command: command)
        }
        let receiver = MachineReceiver(
            storage: lab.storage,
            transport: lab.transport,
            layout: MachineLayout(root: root),
            owner: owner,
            spoolLimit: spoolLimit,
            patience: .zero
        )
        do throws(MachineError) {
            try await receiver.run(input: source, output: sink)
            return CommandResult(status: .exited(0))
        } catch {
            return CommandResult(status: .exited(1))
        }
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

/// Fails a test with a reason.
func demand(_ condition: Bool, _ reason: @autoclosure () -> String) throws {
    guard condition else { throw ConformanceFailure(reason()) }
}
