import BuildOSKit
import Glibc

extension ArtifactStoreSuite {
    /// What a server that hands out files by TFTP must do.
    var reading: [ConformanceCheck] {
        [
            serving("RFC 1350: files of every length around a block arrive whole") { store, directory in
                let files = Dictionary(
                    uniqueKeysWithValues: [0, 1, 511, 512, 513, 1024, 100_000].map {
                        ("f\($0)", ServerBench.content($0))
                    }
                )
                try await ServerBench.run(store, in: directory, files) { bench in
                    for (name, content) in files {
                        let got = try await bench.probe { try $0.read(name) }
                        try require(got == content, "\(name) differs")
                    }
                }
            },
            serving("RFC 2348, 2349, 7440: options are agreed to, and kept") { store, directory in
                let content = ServerBench.content(300_001)
                try await ServerBench.run(store, in: directory, ["dir/f": content]) { bench in
                    let granted = try await bench.probe { probe in
                        probe.request("dir/f", [("tsize", "0"), ("BLKSIZE", "1000"), ("timeout", "7"), ("mood", "x")])
                        return try probe.next().options
                    }
                    let expected = ["tsize": "300001", "blksize": "1000", "timeout": "7"]
                    try require(granted == expected, "granted were \(granted)")
                    for options in [
                        [("blksize", "8")], [("blksize", "1428")], [("blksize", "65464")],
                        [("blksize", "1428"), ("windowsize", "16")], [("windowsize", "3"), ("blksize", "512")],
                        [("blksize", "1428"), ("windowsize", "65535")],
                    ] {
                        let got = try await bench.probe { try $0.read("dir/f", options) }
                        try require(got == content, "the content differs with \(options)")
                    }
                }
            },
            serving("RFC 2347: values that can't be are refused with error 8") { store, directory in
                try await ServerBench.run(store, in: directory, ["f": [1]]) { bench in
                    for option in [("blksize", "7"), ("windowsize", "0"), ("timeout", "0"), ("tsize", "much")] {
                        try await bench.probe { probe in
                            probe.request("f", [option])
                            try probe.expectError(8)
                        }
                    }
                }
            },
            serving("RFC 7440: a window is sent whole; after a gap it goes on where the client is") {
                store,
                directory in
                try await ServerBench.run(store, in: directory, ["f": ServerBench.content(10_000)]) { bench in
                    try await bench.probe { probe in
                        probe.request("f", [("windowsize", "4")])
                        let port = try probe.next().port
                        probe.acknowledge(0, to: port)
                        for block in 1...4 {
                            try require(try probe.next().number == block, "block \(block) is missing")
                        }
                        probe.acknowledge(2, to: port)
                        for block in 3...6 {
                            try require(try probe.next().number == block, "block \(block) is missing")
                        }
                    }
                }
            },
            serving("block numbers roll over to 0") { store, directory in
                let content = ServerBench.content(65_540 * 8 + 3)
                try await ServerBench.run(store, in: directory, ["f": content]) { bench in
                    let options = [("blksize", "8"), ("windowsize", "32")]
                    let got = try await bench.probe { try $0.read("f", options) }
                    try require(got == content, "the content differs")
                }
            },
            serving("RFC 1123: acknowledgements that come twice double nothing (the sorcerer's apprentice)") {
                store,
                directory in
                try await ServerBench.run(store, in: directory, ["f": ServerBench.content(5_000)]) { bench in
                    try await bench.probe { probe in
                        probe.request("f")
                        for block in 1...10 as ClosedRange<UInt16> {
                            let packet = try probe.next()
                            try require(packet.isData && packet.number == block, "\(packet.number), not block \(block)")
                            for _ in 0..<3 { probe.acknowledge(block, to: packet.port) }
                        }
                        try require(try probe.next(within: 100) == nil, "something was sent twice")
                    }
                }
            },
            serving("what isn't acknowledged is sent again, and the transfer goes on") { store, directory in
                try await ServerBench.run(store, in: directory, ["f": ServerBench.content(700)]) { bench in
                    try await bench.probe { probe in
                        probe.request("f", [("tsize", "0")])
                        let options = try probe.next()
                        try require(options.isOptions && (try probe.next()).isOptions, "the options weren't repeated")
                        probe.acknowledge(0, to: options.port)
                        for block in 1...2 as ClosedRange<UInt16> {
                            for copy in 1...2 {
                                let packet = try probe.next()
                                try require(packet.number == block, "no copy \(copy) of block \(block)")
                            }
                            probe.acknowledge(block, to: options.port)
                        }
                    }
                }
            },
            serving("a client that is gone is given up, and that is told") { store, directory in
                try await ServerBench.run(store, in: directory, ["f": [1]]) { configuration, _ in
                    configuration.retransmissionTimeout = .milliseconds(20)
                    configuration.maximumRetransmissions = 2
                } _: { bench in
                    try await bench.probe { $0.request("f") }
                    let last = try await bench.transfers { if case .failed = $0.stage { true } else { false } }.last
                    try require(last?.name == "f", "the event is about \(last?.name ?? "nothing")")
                }
            },
            serving("a client that asks for something else, from the same port, gets just that") { store, directory in
                let files = ["f": ServerBench.content(2000), "g": [7]]
                try await ServerBench.run(store, in: directory, files) { bench in
                    try await bench.probe { probe in
                        probe.request("f")
                        let first = try probe.next()
                        probe.request("g")
                        var answer = try probe.next()
                        while answer.port == first.port, answer.isData { answer = try probe.next() }
                        // A client that knows no port of this transfer yet would take an error for the answer.
                        try require(
                            answer.isData && answer.payload.elementsEqual([7]),
                            "the answer is packet \(answer.opcode), \(answer.number)"
                        )
                        probe.acknowledge(1, to: answer.port)
                    }
                }
            },
            serving("RFC 1350: a stranger's packet is answered with error 5, and the transfer goes on") {
                store,
                directory in
                let content = ServerBench.content(700)
                try await ServerBench.run(store, in: directory, ["f": content]) { bench in
                    let endpoint = bench.server.endpoint
                    try await bench.probe { probe in
                        probe.request("f")
                        let first = try probe.next()
                        let stranger = try TFTPProbe(endpoint)
                        stranger.acknowledge(1, to: first.port)
                        try stranger.expectError(5)
                        probe.acknowledge(1, to: first.port)
                        var second = try probe.next()
                        if second.number == 1 { second = try probe.next() }
                        try require(
                            second.number == 2 && first.payload + second.payload == content[...],
                            "it was broken"
                        )
                        probe.acknowledge(2, to: first.port)
                    }
                }
            },
            serving("netascii is converted, or refused with an error") { store, directory in
                try await ServerBench.run(store, in: directory, ["f": Array("a\nb\rc".utf8)]) { bench in
                    try await bench.probe { probe in
                        probe.request("f", mode: "NetASCII")
                        let answer = try probe.next()
                        if answer.isError { return }
                        try require(answer.payload.elementsEqual("a\r\nb\r\0c".utf8), "sent was \(answer.payload)")
                        probe.acknowledge(1, to: answer.port)
                    }
                }
            },
            serving("what isn't a request gets an error or nothing, and the server goes on") { store, directory in
                try await ServerBench.run(store, in: directory, ["f": [7]]) { bench in
                    let port = UInt16(bench.server.endpoint.port)
                    try await bench.probe { probe in
                        let strays: [[UInt8]] = [
                            [], [0], [0, 1], [0, 1, 0x66], [9, 9], [0, 4, 0, 1], [0, 3, 0, 1, 5], [0, 5, 0, 0],
                        ]
                        for bytes in strays { probe.send(bytes, to: port) }
                        probe.send([UInt8](repeating: 0x61, count: 60_000), to: port)
                    }
                    let got = try await bench.probe { try $0.read("f") }
                    try require(got == [7], "the file differs")
                }
            },
        ]
    }
}
