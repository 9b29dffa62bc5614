import BuildOSKit
import Glibc

extension ArtifactStoreSuite {
    /// What a server that takes files by TFTP must do (BOT-3).
    var writing: [ConformanceCheck] {
        [
            taking("BOT-3: files of every length around a block are there whole when they are acknowledged") { bench in
                for options in [[], [("blksize", "1428"), ("windowsize", "16"), ("tsize", "0")]] {
                    for size in [0, 1, 511, 512, 513, 100_000] {
                        let content = ServerBench.content(size)
                        let code = try await bench.probe { try $0.write("result", content, options) }
                        try require(code == nil, "error \(code ?? 0)")
                        let got = try FileTree.read(bench.uploads.appending("result"))
                        try require(got == content, "\(size) bytes differ with \(options)")
                        try require(try FileTree.names(in: bench.uploads) == ["result"], "more than the file is there")
                    }
                }
            },
            taking("a file is not seen before it is whole; its end is told with its bytes") { bench in
                try await bench.probe { probe in
                    probe.request(write: true, "result")
                    let port = try probe.next().port
                    probe.data(1, ServerBench.content(512), to: port)
                    try require(try probe.next().isAcknowledgement, "no acknowledgement")
                    try require(!FileTree.exists(bench.uploads.appending("result")), "half a file is there")
                    probe.data(2, [5], to: port)
                    try require(try probe.next().number == 2, "no acknowledgement of the end")
                    try require(FileTree.exists(bench.uploads.appending("result")), "acknowledged, but not there")
                }
                let events = try await bench.transfers { if case .completed = $0.stage { true } else { false } }
                try require(events.last?.stage == .completed(byteCount: 513), "told was \(events)")
                try require(events.allSatisfy { $0.direction == .write && $0.name == "result" }, "told was \(events)")
            },
            taking("blocks that come twice are stored once, and acknowledged again") { bench in
                try await bench.probe { probe in
                    probe.request(write: true, "result")
                    let port = try probe.next().port
                    for (block, payload) in [(1, ServerBench.content(512)), (2, [1, 2, 3])] as [(UInt16, [UInt8])] {
                        for _ in 0..<2 {
                            probe.data(block, payload, to: port)
                            // An acknowledgement may have been sent again as the test was slow.
                            var answer = try probe.next()
                            while answer.isAcknowledgement, answer.number == block - 1 { answer = try probe.next() }
                            try require(
                                answer.isAcknowledgement && answer.number == block,
                                "\(block) isn't acknowledged"
                            )
                        }
                    }
                }
                let got = try FileTree.read(bench.uploads.appending("result"))
                try require(got == ServerBench.content(512) + [1, 2, 3], "the file differs")
            },
            taking("RFC 7440: a window with a gap is acknowledged up to the gap") { bench in
                try await bench.probe { probe in
                    probe.request(write: true, "result", [("windowsize", "4"), ("blksize", "8")])
                    let port = try probe.next().port
                    let blocks = (0..<5).map { block in [UInt8](repeating: block, count: block == 4 ? 1 : 8) }
                    probe.data(1, blocks[0], to: port)
                    probe.data(3, blocks[2], to: port)
                    var answer = try probe.next()
                    while answer.isOptions { answer = try probe.next() }
                    try require(answer.isAcknowledgement && answer.number == 1, "the gap wasn't reported")
                    for block in 2...5 { probe.data(UInt16(block), blocks[block - 1], to: port) }
                    while answer.number < 5 { answer = try probe.next() }
                    let got = try FileTree.read(bench.uploads.appending("result"))
                    try require(got == blocks.flatMap(\.self), "the file differs")
                }
            },
            taking("more than the limit is error 3, announced or not, and leaves nothing") { bench in
                let content = ServerBench.content(1_000_001)
                let code = try await bench.probe { try $0.write("result", content, [("blksize", "1428")]) }
                try require(code == 3, "the answer is \(code.map { "error \($0)" } ?? "good")")
                try await bench.probe { probe in
                    probe.request(write: true, "result", [("tsize", "1000001")])
                    try probe.expectError(3)
                }
                try await bench.settle()
                try require(try FileTree.names(in: bench.uploads).isEmpty, "something is left")
                let whole = try await bench.probe {
                    try $0.write("result", Array(content.dropLast()), [("blksize", "1428")])
                }
                try require(whole == nil, "a file of just the limit is refused")
            },
            taking("names that may not be written, and paths, are refused; nothing appears anywhere") { bench in
                for name in ["other", "../result", "a/result", "/", "", "..", ".result"] {
                    let code = try await bench.probe { try $0.write(name, [1]) }
                    try require(code != nil, "'\(name)' was taken")
                }
                try require(try FileTree.names(in: bench.uploads).isEmpty, "something is there")
            },
            taking("a file of the client's wish to be replaced is, and a half one is not kept") { bench in
                try FileTree.write("old", to: bench.uploads.appending("result"))
                try await bench.probe { probe in
                    probe.request(write: true, "result")
                    let port = try probe.next().port
                    probe.data(1, ServerBench.content(512), to: port)
                    _ = try probe.next()
                    probe.send([0, 5, 0, 0, 0], to: port)
                }
                _ = try await bench.transfers { if case .failed = $0.stage { true } else { false } }
                try require(try FileTree.readText(bench.uploads.appending("result")) == "old", "the old file is gone")
                try await bench.probe { _ = try $0.write("result", [1]) }
                try require(try FileTree.read(bench.uploads.appending("result")) == [1], "it wasn't replaced")
            },
            serving("where nothing may be replaced, a file that is there is error 6") { store, directory in
                try await ServerBench.run(store, in: directory) { configuration, uploads in
                    configuration.uploads = UploadRules(directory: uploads, maximumBytes: 100, mayReplace: false)
                } _: { bench in
                    let first = try await bench.probe { try $0.write("a", [1]) }
                    let second = try await bench.probe { try $0.write("a", [2]) }
                    try require(first == nil && second == 6, "the answers are \(first ?? 0) and \(second ?? 0)")
                    try require(try FileTree.read(bench.uploads.appending("a")) == [1], "the file changed")
                }
            },
            serving("a server without uploads takes nothing") { store, directory in
                try await ServerBench.run(store, in: directory, ["f": [1]]) { bench in
                    let code = try await bench.probe { try $0.write("f", [2]) }
                    try require(code != nil, "it was taken")
                    try require(try FileTree.read(bench.root.appending("f")) == [1], "the file changed")
                }
            },
        ]
    }

    /// A check of a server that takes the file `result` of up to a million bytes.
    private func taking(
        _ name: String,
        _ body: @escaping @Sendable (ServerBench) async throws -> Void
    ) -> ConformanceCheck {
        serving(name) { store, directory in
            try await ServerBench.run(store, in: directory) { configuration, uploads in
                configuration.uploads = UploadRules(directory: uploads, names: ["result"], maximumBytes: 1_000_000)
            } _: {
                try await body($0)
            }
        }
    }
}
