import Synchronization

/// The host's side of an upload: one session with one sender, who may be anybody that can log in (MACH-2, MACH-3, MACH-9).
public struct MachineReceiver: Sendable {
    private let storage: any MachineStorage
    private let transport: any Transport
    private let layout: MachineLayout
    private let owner: FileOwner?
    private let spoolLimit: Int64
    private let patience: Duration

    /// What remains free on a volume, in bytes.
    static let reserve: Int64 = 16 << 20

    /// Creates a receiver.
    ///
    /// - Parameters:
    ///   - transport: runs zstd(1) on this machine.
    ///   - owner: who gets the machines' files; they stay the sender's if `nil`.
    ///   - spoolLimit: bytes of a stream that are kept until all of it has arrived.
    ///   - patience: how long to wait for whoever else is changing the machine: after an interruption, the receiver
    ///     before this one first takes what was still on its way.
    public init(
        storage: any MachineStorage,
        transport: any Transport,
        layout: MachineLayout = MachineLayout(),
        owner: FileOwner? = .build(),
        spoolLimit: Int64 = 16 << 30,
        patience: Duration = .seconds(15)
    ) {
        self.storage = storage
        self.transport = transport
        self.layout = layout
        self.owner = owner
        self.spoolLimit = spoolLimit
        self.patience = patience
    }

    /// Serves one sender until it is content, or gone.
    ///
    /// - Parameters:
    ///   - input: what the sender says.
    ///   - output: what it is told.
    /// - Throws: ``MachineError``, which the sender has been told if it still listens.
    public func run(input: FileDescriptor, output: FileDescriptor) async throws(MachineError) {
        let connection = FrameConnection(input: input, output: output)
        do {
            try await serve(connection)
        } catch {
            let failure = MachineError(error, subject: "upload")
            await DedicatedThread.run(name: "machine-fail") { try? connection.write(.message(.failed(failure))) }
            throw failure
        }
    }

    private func serve(_ connection: FrameConnection) async throws {
        let opening = try await DedicatedThread.run(name: "machine-hello") { () throws(MachineError) in
            try connection.write(.message(.hello(versions: TransferMessage.versions)))
            return try connection.message()
        }
        guard case .open(let version, let volume, let machine) = opening else { throw MachineError.unexpected(opening) }
        guard TransferMessage.versions.contains(version) else {
            throw MachineError.badFrame("version \(version) of the protocol is not spoken here")
        }
        let directory = MachineDirectory(storage: storage, layout: layout, volume: volume, machine: machine)
        try await directory.requireVolume()
        let inventory = HostInventory(
            contents: try await directory.contents(),
            space: try await storage.space(of: directory.volume),
            receives: storage.capabilities.receives,
            compressions: try await compressions()
        )
        let next = try await DedicatedThread.run(name: "machine-offer") { () throws(MachineError) -> TransferMessage? in
            try connection.write(.message(.inventory(inventory)))
            while let frame = try connection.read() {
                switch frame {
                case .probe: try connection.write(.message(.probed))
                case .message(let message): return message
                default: throw .badFrame("a \(frame.kind) came before there was an offer")
                }
            }
            return nil  // It only wanted to look.
        }
        switch next {
        case .begin(let offer) where offer.image.machine == machine:
            try await receive(offer, directory, connection)
        case let other?: throw MachineError.unexpected(other)
        case nil: return
        }
    }

    private func compressions() async throws -> [StreamCompression] {
        let hasZstd = (try? await transport.check(StreamCompression.decompressor.with("--version"))) != nil
        return hasZstd ? [.none, .zstd] : [.none]
    }

    private func receive(
        _ offer: UploadOffer,
        _ directory: MachineDirectory,
        _ connection: FrameConnection
    ) async throws {
        let revision = offer.image.revision
        let area = UploadArea(volume: directory.volume)
        let (machine, patience) = (directory.machine, patience)
        let lock = try await DedicatedThread.run(name: "machine-lock") { () throws(MachineError) in
            try MachineLock(area, machine, purpose: "upload of \(offer.image)", patience: patience)
        }
        defer { withExtendedLifetime(lock) {} }
        let installer = MachineInstaller(
            directory: directory,
            owner: owner,
            journal: MachineJournal(area, directory.machine),
            began: { step in
                await DedicatedThread.run(name: "machine-step") { try? connection.write(.message(.step(step))) }
            }
        )
        try await installer.clean(revision)
        // Somebody may have been faster since the inventory was made.
        let contents = try await directory.contents()
        let check = OfferCheck(offer: offer, contents: contents, receives: storage.capabilities.receives)
        let wantsStream = try check.wantsStream()
        let spoolPath = area.spool(offer.image, offer.spoolID)
        try area.removeSpools(of: directory.machine, except: wantsStream && offer.spools ? spoolPath : nil)
        var amounts = (received: Int64(0), resumed: Int64(0))
        if wantsStream {
            let space = try await storage.space(of: directory.volume)
            let room = try check.spoolRoom(space, limit: spoolLimit)
            try installer.prepare()
            let spool = offer.spools ? (path: spoolPath, limit: room) : nil
            do {
                amounts = try await receiveStream(offer, directory, installer, spool, connection)
            } catch {
                // What fills the volume must not be what was kept for better times.
                if MachineError(error, subject: "").kind == .noSpace { try? FileTree.remove(spoolPath) }
                throw error
            }
        } else {
            try await DedicatedThread.run(name: "machine-ready") { () throws(MachineError) in
                try connection.write(.message(.ready(wantsStream: false)))
            }
        }
        // What was received is on the disk; so this needn't get there.
        try FileTree.remove(spoolPath)
        try await installer.place(revision)
        let before = contents.current(version: revision.version)
        if offer.activates, before != revision { try await installer.activate(revision) }
        await installer.begin(.tidy, revision)
        let now = try await directory.contents()
        let pruned = offer.keep.map { MachinePruning(now, keep: $0).remove.filter { $0 != revision } } ?? []
        try await installer.remove(pruned)
        await installer.begin(.done, revision)
        let receipt = UploadReceipt(
            before: before,
            now: now.current(version: revision.version),
            received: amounts.received,
            resumed: amounts.resumed,
            pruned: pruned
        )
        await DedicatedThread.run(name: "machine-done") { try? connection.write(.message(.finished(receipt))) }
    }

    /// Takes the stream from the wire, and from the spool, into the hidden place.
    private func receiveStream(
        _ offer: UploadOffer,
        _ directory: MachineDirectory,
        _ installer: MachineInstaller,
        _ spool: (path: FilePath, limit: Int64)?,
        _ connection: FrameConnection
    ) async throws -> (received: Int64, resumed: Int64) {
        let (feed, sink) = try BlockingIO.pair()
        let feeder = StreamFeeder(offer: offer, connection: connection, sink: sink, spool: spool)
        // Before the feeder answers: what it says must not be interrupted.
        await installer.begin(.receive, offer.image.revision)
        async let feeding = feeder.run()
        let received: Result<Subvolume, any Error>
        var senderWasGone = false
        do {
            received = .success(try await take(offer.compression, from: feed, into: directory.received))
        } catch {
            received = .failure(error)
            let failure = MachineError(error, subject: offer.image.description)
            senderWasGone = feeder.isCut
            if !senderWasGone {
                await DedicatedThread.run(name: "machine-fail") { try? connection.write(.message(.failed(failure))) }
            }
        }
        try? feed.close()
        let fed = await feeding
        switch (fed, received) {
        case (.failure(let error), .success(let subvolume)):
            try? await storage.delete(subvolume.path)
            throw error
        case (.failure(let error), .failure(let cause)):
            // What the storage said first is why the stream ended, unless the sender was gone before.
            throw senderWasGone || error.kind != .interrupted ? error : cause
        case (.success, .failure(let cause)): throw cause
        case (.success(let amounts), .success(let subvolume)):
            guard subvolume.name == offer.image.description else {
                try? await storage.delete(subvolume.path)
                throw MachineError.badFrame("the stream holds '\(printable(subvolume.name))', not \(offer.image)")
            }
            guard subvolume.receivedUUID == offer.identity else {
                try? await storage.delete(subvolume.path)
                throw MachineError.badFrame("the stream is of another image than was offered")
            }
            try ReceivedMark(subvolume.path).write(for: subvolume)
            return amounts
        }
    }

    private func take(
        _ compression: StreamCompression,
        from feed: FileDescriptor,
        into directory: FilePath
    ) async throws -> Subvolume {
        guard compression == .zstd else { return try await storage.receive(from: feed, into: directory, progress: nil) }
        let (plain, unpacked) = try BlockingIO.pair()
        async let unpacking: CommandResult = {
            defer { try? unpacked.close() }
            return try await transport.run(
                StreamCompression.decompressor,
                input: .descriptor(feed),
                output: .descriptor(unpacked),
                error: .discarded,
                timeLimit: nil
            )
        }()
        let received: Result<Subvolume, any Error>
        do {
            received = .success(try await storage.receive(from: plain, into: directory, progress: nil))
        } catch {
            received = .failure(error)
        }
        try? plain.close()
        let result = try await unpacking
        let subvolume = try received.get()
        guard result.status.isSuccess else {
            try? await storage.delete(subvolume.path)
            throw MachineError.badFrame("what zstd was to unpack is damaged (\(result.status))")
        }
        return subvolume
    }
}

extension StreamCompression {
    static let decompressor = Command("zstd", ["--decompress", "--quiet", "--stdout"])
    static let compressor = Command("zstd", ["-1", "--threads=0", "--quiet", "--stdout"])
}

extension Command {
    func with(_ argument: String) -> Command { Command(executable, [argument]) }
}

extension MachineError {
    static func unexpected(_ message: TransferMessage) -> MachineError {
        .badFrame("'\(printable("\(message)", limit: 60))' came at a wrong time")
    }
}
