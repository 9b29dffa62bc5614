import Glibc

/// Results on their way to controllers, each in a file until it was delivered: neither a controller that is away nor an
/// end of the agent loses one (BOT-3). Several agents of a host may share one.
public struct ResultSpool: Sendable {
    /// What bounds a spool. Beyond it the oldest results go.
    public struct Limits: Sendable, Hashable {
        /// Most results.
        public var count = 64
        /// Most bytes of all together.
        public var bytes: Int64 = 128 << 20
        /// No result is kept for longer: controllers have long given its task to another (build2-facts, 2.8).
        public var age: Duration = .seconds(24 * 3600)

        /// Creates limits.
        public init() {}
    }

    /// What became of a result.
    public enum Fate: Sendable, Hashable {
        /// The controller has it.
        case delivered
        /// It stays here, to be delivered later.
        case kept(ControllerError)
        /// The controller will never take it.
        case refused(ControllerError)
        /// It was older than ``Limits/age``.
        case expired
        /// Its file can't be read.
        case damaged(String)
        /// It had to make room for others.
        case displaced
    }

    /// A result and what became of it.
    public struct Report: Sendable, Hashable {
        /// The name of its file.
        public let name: String
        /// What became of it.
        public let fate: Fate
    }

    /// Where the files are.
    public let directory: FilePath
    private let limits: Limits
    private static let suffix = ".result"

    /// Creates a spool.
    ///
    /// - Parameter directory: made if it isn't there; on a file system that outlives a reboot, such as `/state`.
    /// - Throws: ``FileError``
    public init(_ directory: FilePath, limits: Limits = Limits()) throws(FileError) {
        try FileTree.makeDirectory(directory, permissions: .ownerReadWriteExecute)
        self.directory = directory
        self.limits = limits
    }

    /// Delivers a result, or keeps it for later.
    ///
    /// The result is in its file before the controller hears of it.
    ///
    /// - Returns: what became of it, and of older ones that had to make room.
    /// - Throws: ``FileError`` or ``ManifestError`` if it can't be written; the controller hasn't heard of it then.
    public func deliver(
        _ request: ResultRequest,
        to url: ResourceURL,
        by client: ControllerClient,
        now: Timestamp = .now
    ) async throws -> [Report] {
        let name = Self.name(now)
        let file = directory.appending(name)
        let envelope = Manifest([ManifestPair("url", url.description), ManifestPair("kept", "\(now.seconds)")])
        let text = try ManifestSerializer.serialize([envelope] + request.manifests)
        try FileTree.write(text, to: file, permissions: .ownerReadWrite)
        let displaced = try makeRoom(sparing: name).map { Report(name: $0, fate: .displaced) }
        guard let lock = try FileLock.take(file) else {
            // Another agent has found it already, and tells what becomes of it.
            return displaced
        }
        let fate = await send(text, to: url, by: client)
        withExtendedLifetime(lock) { settle(file, fate) }
        return displaced + [Report(name: name, fate: fate)]
    }

    /// Delivers what was kept, the oldest first. A controller that is away is asked once.
    ///
    /// - Returns: what became of each but those that another agent is about to deliver.
    /// - Throws: ``FileError`` if the spool can't be read.
    public func deliverKept(by client: ControllerClient, now: Timestamp = .now) async throws(FileError) -> [Report] {
        var reports: [Report] = []
        var away: [String: ControllerError] = [:]
        for name in try results() {
            let file = directory.appending(name)
            guard let lock = try FileLock.take(file) else { continue }
            let fate = await deliver(file, by: client, now, &away)
            withExtendedLifetime(lock) { settle(file, fate) }
            if let fate { reports.append(Report(name: name, fate: fate)) }
        }
        return reports
    }

    /// The names of the results that are kept, the oldest first.
    ///
    /// - Throws: ``FileError``
    public func results() throws(FileError) -> [String] {
        try FileTree.names(in: directory).filter { $0.hasSuffix(Self.suffix) }
    }

    /// Removes a file, to be called with its lock, unless the result stays.
    private func settle(_ file: FilePath, _ fate: Fate?) {
        if case .kept = fate { return }
        unlink(file.string)
    }

    /// What becomes of a file; `nil` if it was another agent's, which has delivered it in the meantime.
    private func deliver(
        _ file: FilePath,
        by client: ControllerClient,
        _ now: Timestamp,
        _ away: inout [String: ControllerError]
    ) async -> Fate? {
        do {
            let text = try FileTree.read(file, limit: ManifestLimits.result.bytes + 4096)
            // Made by the lock, after another agent had delivered and removed it.
            guard !text.isEmpty else { return nil }
            let manifests = try ManifestParser.parse(text, source: file.string, limits: Self.readLimits)
            guard manifests.count == 3, let address = manifests[0]["url"],
                let kept = manifests[0]["kept"].flatMap({ Int64($0) })
            else { return .damaged("it is not an envelope, a request and a result") }
            guard Timestamp(seconds: kept).duration(to: now) <= limits.age else { return .expired }
            let url = try ResourceURL(address)
            if let error = away[url.authority] { return .kept(error) }
            let fate = await send(manifests, to: url, by: client)
            if case .kept(let error) = fate { away[url.authority] = error }
            return fate
        } catch let error as FileError where error.errno == .noSuchFileOrDirectory {
            return nil
        } catch {
            return .damaged("\(error)")
        }
    }

    private func send(_ text: [UInt8], to url: ResourceURL, by client: ControllerClient) async -> Fate {
        do {
            return await send(
                try ManifestParser.parse(text, source: "result", limits: Self.readLimits),
                to: url,
                by: client
            )
        } catch {
            return .damaged("\(error)")
        }
    }

    private func send(_ manifests: [Manifest], to url: ResourceURL, by client: ControllerClient) async -> Fate {
        do {
            try await client.report(manifests: Array(manifests.dropFirst()), to: url)
            return .delivered
        } catch {
            return error.mayBeMended ? .kept(error) : .refused(error)
        }
    }

    private static let readLimits = ManifestLimits(bytes: ManifestLimits.result.bytes + 4096, manifests: 3)

    /// Names in the order of time.
    private static func name(_ now: Timestamp) -> String {
        let seconds = String(max(0, now.seconds))
        let digits = String(repeating: "0", count: max(0, 12 - seconds.utf8.count)) + seconds
        return "\(digits)-\(String(UInt64.random(in: .min ... .max), radix: 36))\(suffix)"
    }

    /// Removes the oldest until the limits hold.
    private func makeRoom(sparing newest: String) throws(FileError) -> [String] {
        var names = try results()
        var sizes: [String: Int64] = [:]
        for name in names {
            var status = stat()
            if stat(directory.appending(name).string, &status) == 0 { sizes[name] = Int64(status.st_size) }
        }
        var total = sizes.values.reduce(0, +)
        var removed: [String] = []
        for name in names where name != newest && (names.count > limits.count || total > limits.bytes) {
            unlink(directory.appending(name).string)
            names.removeAll { $0 == name }
            total -= sizes[name] ?? 0
            removed.append(name)
        }
        return removed
    }
}
