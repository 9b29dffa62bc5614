import Glibc
import TestSupport
import Testing

@testable import BuildOSKit

@Suite("What crosses between sender and receiver of a machine") struct TransferTests {
    @Test(
        "XXH64 of its specification's texts",
        arguments: [
            ("", 0xef46_db37_51d8_e999), ("a", 0xd24e_c4f1_a98c_6e5b), ("abc", 0x44bc_2cf5_ad77_0999),
            ("message digest", 0x066e_d728_fcee_b3be), ("abcdefghijklmnopqrstuvwxyz", 0xcfe1_f278_fa89_835c),
            ("12345678901234567890123456789012345678901234567890123456789012345678901234567890", 0xe04a_477f_19ee_145d),
        ] as [(String, UInt64)]
    )
    func digest(text: String, expected: UInt64) { #expect(XXHash64.digest(text.utf8) == expected) }

    private var frames: [TransferFrame] {
        get throws {
            let image = try MachineImage("linux-gcc_6-1.1")
            return [
                .message(.hello(versions: [1])),
                .message(.open(version: 1, volume: .default, machine: image.machine)),
                .message(
                    .begin(
                        UploadOffer(
                            image: image,
                            identity: "a",
                            base: "b",
                            format: "btrfs-2",
                            compression: .zstd,
                            chunkSize: 65536,
                            estimate: 1 << 30,
                            spools: true,
                            activates: true,
                            intent: .upgrade,
                            keep: 2
                        )
                    )
                ),
                .message(.failed(MachineError(.noSpace, "x", cause: "y", remedy: "z"))),
                .chunk(index: 7, digest: XXHash64.digest("content".utf8), bytes: Array("content".utf8)[...]),
                .same(index: 8, digest: 12345),
                .digests([1, .max, 0]), .digests([]),
                .message(.end(chunks: 9, bytes: 1 << 40)),
            ]
        }
    }

    private func bytes(_ frames: [TransferFrame]) throws -> [UInt8] {
        try frames.flatMap { frame in
            if case .chunk(_, _, let bytes) = frame { try frame.encoded() + bytes } else { try frame.encoded() }
        }
    }

    /// Reads what a file holds, as from a connection that ends after it.
    private func read(_ bytes: [UInt8]) throws -> Result<[TransferFrame], MachineError> {
        let path = FilePath("/tmp/buildos-frames-\(UInt64.random(in: .min ... .max))")
        try FileTree.write(bytes, to: path)
        defer { unlink(path.string) }
        let file = try FileDescriptor.open(path, .readOnly)
        defer { try? file.close() }
        let connection = FrameConnection(input: file, output: file)
        var frames: [TransferFrame] = []
        do throws(MachineError) {
            while let frame = try connection.read() { frames.append(frame) }
            return .success(frames)
        } catch {
            return .failure(error)
        }
    }

    @Test("frames are read as they were written")
    func roundTrip() throws {
        let frames = try frames
        let read = try read(bytes(frames)).get()
        #expect(read.map(\.kind) == frames.map(\.kind))
        for (one, other) in zip(read, frames) {
            if case .chunk(let index, let digest, let bytes) = one, case .chunk(index, digest, let sent) = other {
                #expect(Array(bytes) == Array(sent))
            } else {
                #expect(one == other)
            }
        }
    }

    @Test("a stream that ends inside a frame is an interruption, between two it is an end")
    func cut() throws {
        let whole = try bytes(frames)
        var ends: Set<Int> = [0]
        var length = 0
        for frame in try frames {
            length += try bytes([frame]).count
            ends.insert(length)
        }
        for count in 0...whole.count {
            switch try read(Array(whole.prefix(count))) {
            case .success: #expect(ends.contains(count))
            case .failure(let error): #expect(!ends.contains(count) && error.kind == .interrupted)
            }
        }
    }

    @Test("no bytes do more than fail: 800 damaged streams", arguments: [1, 2, 3, 4])
    func damaged(seed: UInt64) throws {
        let whole = try bytes(frames)
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            var damaged = whole
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                damaged[Int.random(in: damaged.indices, using: &generator)] = .random(
                    in: .min ... .max,
                    using: &generator
                )
            }
            guard damaged != whole, case .success(let frames) = try read(damaged) else { continue }
            // What gets through is whole: a chunk is never other than its digest says.
            for case .chunk(_, let digest, let bytes) in frames { #expect(XXHash64.digest(bytes) == digest) }
        }
    }

    @Test("a frame longer than its kind may be is refused before it is read")
    func bounded() throws {
        for kind in [1, 2, 3, 4, 5] as [UInt8] {
            let head: [UInt8] = [0x42, 0x4d, kind, 0, 0x7f, 0xff, 0xff, 0xff]
            guard case .failure(let error) = try read(head) else {
                Issue.record("kind \(kind) was accepted")
                continue
            }
            #expect(error.description.contains("a frame of 2147483647 bytes is too long"))
        }
    }

    @Test("what a log-in prints is told from the protocol")
    func chatter() throws {
        guard case .failure(let error) = try read(Array("Welcome to build!\n".utf8)) else {
            Issue.record("it was accepted")
            return
        }
        #expect(
            error.description
                == "machine protocol: the other side wrote 'Welcome ' where a frame begins "
                + "(see that the log-in there prints nothing, and that both sides have the same buildosctl)"
        )
    }

    @Test("MACH-9: a limited rate lets nothing be saved up")
    func rate() {
        let now = ContinuousClock.now
        func due(after due: ContinuousClock.Instant, _ bytes: Int) -> ContinuousClock.Instant {
            RateLimiter.due(after: due, now: now, bytes: bytes, bytesPerSecond: 1000)
        }
        #expect(due(after: now - .seconds(60), 500) == now + .milliseconds(500))
        #expect(due(after: now + .seconds(2), 500) == now + .milliseconds(2500))
        #expect(RateLimiter(bytesPerSecond: 1_000_000).pieceSize == 100_000)
        #expect(RateLimiter(bytesPerSecond: 1).pieceSize == 4096)
    }
}
