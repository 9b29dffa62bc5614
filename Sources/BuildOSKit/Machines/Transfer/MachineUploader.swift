import Synchronization

/// Brings an image of a machine to hosts, each as fast as its way allows, and from one reading of the stream for all that
/// can build on the same base (MACH-2, MACH-3, MACH-9).
public struct MachineUploader: Sendable {
    private let storage: any MachineStorage
    private let transport: any Transport
    private let source: FilePath
    private let options: UploadOptions

    /// Creates an uploader.
    ///
    /// - Parameters:
    ///   - storage: that which holds the image.
    ///   - transport: runs zstd(1) on this machine.
    ///   - source: the image: a read-only subvolume named `<machine>-<P>.<R>`. Beside it lie what may be the bases.
    public init(storage: any MachineStorage, transport: any Transport, source: FilePath, options: UploadOptions) {
        self.storage = storage
        self.transport = transport
        self.source = source
        self.options = options
    }

    /// A host on its way to a stream.
    private struct Candidate: Sendable {
        let session: HostSession
        let plan: UploadPlan
        var compression: StreamCompression
    }

    /// Which hosts a stream is made for.
    private struct StreamKey: Hashable {
        let base: String?
        let format: String?
        let compression: StreamCompression
    }

    /// Uploads to all targets at once. What fails with one concerns no other.
    ///
    /// - Parameter report: gets the label of the host and what happens; called from any thread, must not block.
    /// - Returns: a report for each target, in their order.
    /// - Throws: ``MachineError`` if the image itself can't be sent to anybody.
    public func upload(
        to targets: [UploadTarget],
        report: @escaping @Sendable (String, UploadEvent) -> Void
    ) async throws(MachineError) -> [UploadReport] {
        let (image, others) = try await images()
        var reports = [UploadReport?](repeating: nil, count: targets.count)
        var candidates: [Int: Candidate] = [:]
        await withTaskGroup(of: (Int, Result<Candidate, MachineError>).self) { group in
            for (index, target) in targets.enumerated() {
                group.addTask {
                    let result = await plan(image, others, target) { report(target.label, $0) }
                    return (index, result)
                }
            }
            for await (index, result) in group {
                switch result {
                case .success(let candidate): candidates[index] = candidate
                case .failure(let error): reports[index] = failed(targets[index], nil, error)
                }
            }
        }
        let estimate = await DedicatedThread.run(name: "machine-size") { StreamSize.onDisk(source) }
        let streams = Dictionary(grouping: candidates.keys.sorted()) { index in
            let candidate = candidates[index]
            return StreamKey(
                base: candidate?.plan.basePath,
                format: candidate?.plan.format,
                compression: candidate?.compression ?? .none
            )
        }
        await withTaskGroup(of: [(Int, UploadReport)].self) { group in
            for members in streams.values {
                let hosts = members.compactMap { index in candidates[index].map { (index, $0) } }
                group.addTask {
                    options.isDryRun
                        ? await rehearse(hosts) : await perform(hosts, identity: image.identity ?? "", estimate)
                }
            }
            for await done in group { for (index, report) in done { reports[index] = report } }
        }
        return reports.compactMap { $0 }
    }

    private func images() async throws(MachineError) -> (SenderImage, [SenderImage]) {
        do {
            let image = SenderImage(try await storage.subvolume(at: source))
            try UploadPlan.check(image)
            guard image.identity != nil else {
                throw MachineError(
                    .storage,
                    "image '\(source)'",
                    cause: "its storage gives it no identity, by which a host would know it again"
                )
            }
            let neighbours = try await storage.subvolumes(in: source.removingLastComponent())
            return (image, neighbours.map { SenderImage($0) })
        } catch {
            throw MachineError(error, subject: source.string)
        }
    }

    private func plan(
        _ image: SenderImage,
        _ others: [SenderImage],
        _ target: UploadTarget,
        report: @escaping @Sendable (UploadEvent) -> Void
    ) async -> Result<Candidate, MachineError> {
        do throws(MachineError) {
            let name = try UploadPlan.check(image)
            let session = try HostSession(target, options: options, report: report)
            do throws(MachineError) {
                let host = try await session.inspect(name.machine)
                let plan = try UploadPlan(
                    image,
                    others: others,
                    sends: storage.capabilities.sends,
                    host: host,
                    intent: options.intent
                )
                let isSent = plan.format != nil
                let compression = isSent ? try await compression(session, host) : .none
                report(.planned(plan, compression))
                return .success(Candidate(session: session, plan: plan, compression: compression))
            } catch {
                session.abort()
                await session.close()
                throw error
            }
        } catch {
            return .failure(error)
        }
    }

    private func compression(
        _ session: HostSession,
        _ host: HostInventory
    ) async throws(MachineError) -> StreamCompression {
        guard options.compression != .never, host.compressions.contains(.zstd) else { return .none }
        if options.compression == .always { return .zstd }
        guard session.target.transport.capabilities.remote else { return .none }
        if let limit = options.rateLimit, Double(limit) < UploadOptions.compressionThreshold { return .zstd }
        return try await session.measure() < UploadOptions.compressionThreshold ? .zstd : .none
    }

    private func rehearse(_ hosts: [(Int, Candidate)]) async -> [(Int, UploadReport)] {
        var size: Result<Int64?, MachineError> = .success(nil)
        if let plan = hosts.first?.1.plan, let request = request(plan) {
            do { size = .success(try await StreamSize.measure(request, by: storage)) } catch {
                size = .failure(MachineError(error, subject: source.string))
            }
        }
        var reports: [(Int, UploadReport)] = []
        for (index, host) in hosts {
            await host.session.close()
            var (bytes, failure) = (Int64?.none, MachineError?.none)
            switch size {
            case .success(let measured): bytes = measured
            case .failure(let error): failure = error
            }
            reports.append(
                (
                    index,
                    UploadReport(
                        host: host.session.target.label,
                        plan: host.plan,
                        compression: host.compression,
                        bytes: bytes,
                        receipt: nil,
                        error: failure
                    )
                )
            )
        }
        return reports
    }

    private func request(_ plan: UploadPlan) -> SendRequest? {
        plan.format.map { SendRequest(source, parent: plan.basePath.map { FilePath($0) }, format: $0) }
    }

    /// One stream, from the offers to its hosts until all of these are done.
    private func perform(
        _ hosts: [(Int, Candidate)],
        identity: String,
        _ estimate: Int64
    ) async -> [(Int, UploadReport)] {
        await withTaskGroup(of: (Int, Result<UploadReceipt, MachineError>).self) { group in
            var wanting: [HostSession] = []
            var failures: [Int: MachineError] = [:]
            for (index, host) in hosts {
                do throws(MachineError) {
                    let offer = offer(host, identity: identity, host.plan.action == .full ? estimate : nil)
                    if try await host.session.begin(offer) { wanting.append(host.session) }
                    group.addTask {
                        // Awaited before the tuple is made: Swift 6.3 with -O loses the index otherwise.
                        let result: Result<UploadReceipt, MachineError>
                        do throws(MachineError) {
                            result = .success(try await host.session.finish())
                        } catch {
                            result = .failure(error)
                        }
                        return (index, result)
                    }
                } catch {
                    failures[index] = error
                }
            }
            if !wanting.isEmpty, let plan = hosts.first?.1.plan, let request = request(plan) {
                await stream(request, plan, hosts.first?.1.compression ?? .none, estimate, to: wanting)
            }
            var receipts: [Int: UploadReceipt] = [:]
            for await (index, result) in group {
                switch result {
                case .success(let receipt): receipts[index] = receipt
                case .failure(let error): failures[index] = error
                }
            }
            var reports: [(Int, UploadReport)] = []
            for (index, host) in hosts {
                await host.session.close()
                reports.append(
                    (
                        index,
                        UploadReport(
                            host: host.session.target.label,
                            plan: host.plan,
                            compression: host.compression,
                            bytes: nil,
                            receipt: receipts[index],
                            error: failures[index]
                        )
                    )
                )
            }
            return reports
        }
    }

    private func stream(
        _ request: SendRequest,
        _ plan: UploadPlan,
        _ compression: StreamCompression,
        _ estimate: Int64,
        to hosts: [HostSession]
    ) async {
        let broadcast = StreamBroadcast(
            storage: storage,
            transport: transport,
            request: request,
            compression: compression,
            chunkSize: options.chunkSize,
            hosts: hosts
        )
        if plan.action == .full { for host in hosts { host.expect(estimate) } }
        guard plan.action == .incremental, options.measuresFirst, compression == .none else {
            return await broadcast.run()
        }
        async let total = StreamSize.measure(request, by: storage)
        async let sent: Void = broadcast.run()
        if let total = try? await total { for host in hosts { host.expect(total) } }
        await sent
    }

    private func offer(_ host: Candidate, identity: String, _ estimate: Int64?) -> UploadOffer {
        UploadOffer(
            image: host.plan.image,
            identity: identity,
            base: host.plan.baseIdentity,
            format: host.plan.format ?? "none",
            compression: host.compression,
            chunkSize: options.chunkSize,
            estimate: estimate,
            spools: options.spools,
            activates: options.activates,
            intent: options.intent,
            keep: options.keep
        )
    }

    private func failed(_ target: UploadTarget, _ plan: UploadPlan?, _ error: MachineError) -> UploadReport {
        UploadReport(
            host: target.label,
            plan: plan,
            compression: .none,
            bytes: nil,
            receipt: nil,
            error: error
        )
    }
}
