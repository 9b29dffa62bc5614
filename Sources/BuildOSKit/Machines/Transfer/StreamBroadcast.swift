import Glibc
import Synchronization

/// Reads a stream once and sends it to several hosts at once, as fast as the slowest of them takes it.
struct StreamBroadcast: Sendable {
    let storage: any MachineStorage
    /// Runs zstd(1) on this machine.
    let transport: any Transport
    let request: SendRequest
    let compression: StreamCompression
    let chunkSize: Int
    let hosts: [HostSession]

    /// Runs to the end of the stream, or until no host takes it any more. The hosts are told how it ended.
    func run() async {
        do throws(MachineError) {
            let plain = try BlockingIO.pair()
            guard compression == .zstd else {
                let reader = ChunkReader(source: plain.0, chunkSize: chunkSize, hosts: hosts)
                async let reading: Void = reader.run()
                reader.conclude(await send(to: plain.1))
                close(plain.1)
                return await reading
            }
            let packed = try BlockingIO.pair()
            let reader = ChunkReader(source: packed.0, chunkSize: chunkSize, hosts: hosts)
            async let reading: Void = reader.run()
            async let packing = pack(plain.0, to: packed.1)
            let sent = await send(to: plain.1)
            close(plain.1)
            let packedWell = await packing
            // If nobody takes it any more, the first to notice is zstd.
            reader.conclude(sent.flatMap { packedWell })
            close(packed.1)
            await reading
        } catch {
            for host in hosts { host.end(.failure(error)) }
        }
    }

    private func send(to sink: FileDescriptor) async -> Result<Void, MachineError> {
        do throws(MachineStorageError) {
            return .success(try await storage.send(request, to: sink, progress: nil))
        } catch {
            return .failure(MachineError(error, subject: request.subvolume.string))
        }
    }

    private func pack(_ source: FileDescriptor, to sink: FileDescriptor) async -> Result<Void, MachineError> {
        defer { close(source) }
        do throws(TransportError) {
            let result = try await transport.run(
                StreamCompression.compressor,
                input: .descriptor(source),
                output: .descriptor(sink),
                error: .discarded,
                timeLimit: nil
            )
            if result.status.isSuccess { return .success(()) }
            return .failure(MachineError(.transport, "zstd", cause: "\(result.status)"))
        } catch {
            return .failure(MachineError(error, subject: "zstd"))
        }
    }

    private func close(_ descriptor: FileDescriptor) { try? descriptor.close() }
}

/// The thread that cuts a stream into chunks and hands these to the hosts, side by side.
private final class ChunkReader: Sendable {
    private let source: FileDescriptor
    private let chunkSize: Int
    private let hosts: [HostSession]
    /// How the making of the stream ended; known before the stream's end is seen.
    private let outcome = Mutex<Result<Void, MachineError>>(.success(()))

    init(source: FileDescriptor, chunkSize: Int, hosts: [HostSession]) {
        self.source = source
        self.chunkSize = chunkSize
        self.hosts = hosts
    }

    func conclude(_ result: Result<Void, MachineError>) { outcome.withLock { $0 = result } }

    func run() async {
        await DedicatedThread.run(name: "machine-send") {
            let counts = self.read()
            // Whoever makes the stream must not wait for a reader.
            try? self.source.close()
            let end = self.outcome.withLock { $0 }.flatMap { counts }
            for host in self.hosts { host.end(end) }
        }
    }

    private func read() -> Result<(chunks: Int, bytes: Int64), MachineError> {
        var counts = (chunks: 0, bytes: Int64(0))
        var lanes: [HostLane] = []
        defer {
            for lane in lanes { lane.close() }
            for lane in lanes { lane.waitUntilDone() }
        }
        do throws(Errno) {
            // One host needs no other thread.
            for host in hosts where hosts.count > 1 { lanes.append(try HostLane(to: host)) }
        } catch {
            return .failure(MachineError(.storage, "stream", cause: "no thread to send it by: \(error)"))
        }
        while hosts.contains(where: \.isAlive) {
            do throws(Errno) {
                let chunk = try next()
                if chunk.isEmpty { break }
                let digest = XXHash64.digest(chunk)
                for lane in lanes { lane.send(counts.chunks, digest, chunk) }
                if lanes.isEmpty { hosts.first?.send(counts.chunks, digest, chunk[...]) }
                counts.chunks += 1
                counts.bytes += Int64(chunk.count)
            } catch {
                return .failure(MachineError(.storage, "stream", cause: "can't read it: \(error)"))
            }
        }
        return .success(counts)
    }

    private func next() throws(Errno) -> [UInt8] {
        do {
            return try [UInt8](unsafeUninitializedCapacity: chunkSize) { buffer, filled in
                filled = try BlockingIO.read(into: UnsafeMutableRawBufferPointer(buffer), from: source)
            }
        } catch {
            throw error as? Errno ?? .ioError
        }
    }
}

/// How many bytes a stream has, by making it for nobody.
enum StreamSize {
    static func measure(_ request: SendRequest, by storage: any MachineStorage) async throws -> Int64 {
        let (source, sink) = try BlockingIO.pair()
        async let counting: Int64 = DedicatedThread.run(name: "machine-count") {
            defer { try? source.close() }
            var total: Int64 = 0
            var buffer = [UInt8](repeating: 0, count: 1 << 20)
            while let count = try? buffer.withUnsafeMutableBytes({ try source.read(into: $0) }), count > 0 {
                total += Int64(count)
            }
            return total
        }
        do {
            try await storage.send(request, to: sink, progress: nil)
        } catch {
            try? sink.close()
            _ = await counting
            throw error
        }
        try? sink.close()
        return await counting
    }

    /// Bytes that a directory's files take on the disk; blocks.
    static func onDisk(_ directory: FilePath) -> Int64 {
        var total: Int64 = 0
        for name in (try? FileTree.names(in: directory)) ?? [] {
            let path = directory.appending(name)
            var status = stat()
            guard lstat(path.string, &status) == 0 else { continue }
            total += Int64(status.st_blocks) * 512
            if status.st_mode & S_IFMT == S_IFDIR { total += onDisk(path) }
        }
        return total
    }
}
