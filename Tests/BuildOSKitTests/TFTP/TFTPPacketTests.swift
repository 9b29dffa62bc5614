import BuildOSKit
import TestSupport
import Testing

@testable import TFTPStore

@Suite("TFTP packets and options") struct TFTPPacketTests {
    private func parse(_ bytes: [UInt8]) throws(TFTPRefusal) -> TFTPPacket { try TFTPPacket(bytes.span) }
    private func parse(_ text: String) throws(TFTPRefusal) -> TFTPPacket { try parse(Array(text.utf8)) }

    private func terms(
        _ options: [TFTPOption],
        _ direction: ArtifactTransfer.Direction = .read,
        limits: TFTPLimits = .reading
    ) throws(TFTPRefusal) -> TFTPTerms {
        try TFTPTerms(options, direction, size: direction == .read ? 1234 : nil, limits: limits)
    }

    @Test("what is encoded is parsed again") func roundTrip() throws {
        let request = TFTPRequest(
            direction: .read,
            name: "pxelinux.cfg/01-52-54",
            mode: .octet,
            options: [TFTPOption("tsize", "0"), TFTPOption("blksize", "1428")]
        )
        for packet in [
            TFTPPacket.request(request), .acknowledgement(0), .acknowledgement(65_535),
            .data(block: 7, payloadLength: 0),
            .error(code: 2, message: "no"), .optionAcknowledgement(request.options), .optionAcknowledgement([]),
        ] {
            #expect(try parse(packet.encoded) == packet)
        }
    }

    @Test("a request as RFC 1350 and RFC 2347 draw it") func layout() throws {
        let packet = try parse("\0\u{1}file\0OCTET\0BlkSize\u{0}1428\0")
        guard case .request(let request) = packet else {
            Issue.record("\(packet)")
            return
        }
        #expect(request.direction == .read)
        #expect(request.name == "file")
        #expect(request.mode == .octet)
        #expect(request.options == [TFTPOption("blksize", "1428")])
        #expect(try parse("\0\u{3}\0\u{5}abc") == .data(block: 5, payloadLength: 3))
        #expect(try parse("\0\u{5}\0\u{1}gone") == .error(code: 1, message: "gone"))
    }

    @Test(
        "what isn't a packet is refused with error 4",
        arguments: [
            "", "\0", "\0\0", "\0\u{7}", "\u{1}\u{1}", "\0\u{1}", "\0\u{1}file", "\0\u{1}file\0", "\0\u{1}file\0octet",
            "\0\u{1}file\0mail\0", "\0\u{3}", "\0\u{3}\0", "\0\u{4}\0", "\0\u{5}\0",
            "\0\u{1}" + String(repeating: "a", count: 3000) + "\0octet\0",
        ]
    ) func malformed(text: String) {
        let refusal = #expect(throws: TFTPRefusal.self) { try parse(text) }
        #expect(refusal?.code == .illegalOperation)
    }

    @Test("a name that isn't UTF-8 is refused, and options beyond sixteen") func bounds() {
        #expect(throws: TFTPRefusal.self) { try parse([0, 1, 0xff, 0xfe, 0] + Array("octet\0".utf8)) }
        let many = (0..<17).map { "o\($0)\0v\0" }.joined()
        #expect(throws: TFTPRefusal.self) { try parse("\0\u{1}f\0octet\0" + many) }
    }

    @Test("half a million seeded random packets crash nothing and grow nothing", arguments: [1, 2, 3, 4, 5])
    func fuzz(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let samples = [
            TFTPPacket.request(
                TFTPRequest(direction: .write, name: "name", mode: .netascii, options: [TFTPOption("blksize", "8")])
            ),
            .optionAcknowledgement([TFTPOption("windowsize", "65535")]), .error(code: 8, message: "no such option"),
            .data(block: 1, payloadLength: 0),
        ].map(\.encoded)
        for _ in 0..<100_000 {
            var bytes: [UInt8]
            if Bool.random(using: &random) {
                bytes = samples[Int.random(in: 0..<samples.count, using: &random)]
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: .min ... .max, using: &random)
                }
                bytes.removeLast(Int.random(in: 0...bytes.count / 2, using: &random))
            } else {
                bytes = (0..<Int.random(in: 0...64, using: &random)).map { _ in .random(in: 0...8, using: &random) }
            }
            guard let packet = try? parse(bytes) else { continue }
            // Encoding loses padding at most, and what is parsed is never more than what came.
            if case .data = packet { continue }
            if case .error = packet { continue }
            #expect(packet.encoded.count <= bytes.count)
            #expect((try? parse(packet.encoded)) == packet)
            if case .request(let request) = packet {
                _ = try? TFTPTerms(request.options, request.direction, size: 1, limits: .writing)
            }
        }
    }

    @Test("RFC 2348, 2349, 7440: options are granted within the limits, and unknown ones passed over") func granted()
        throws
    {
        let asked = [
            TFTPOption("tsize", "0"), TFTPOption("windowsize", "16"), TFTPOption("blksize", "1428"),
            TFTPOption("timeout", "3"), TFTPOption("multicast", ""),
        ]
        let terms = try terms(asked)
        #expect(terms.blockSize == 1428)
        #expect(terms.windowSize == 16)
        #expect(terms.timeout == .seconds(3))
        #expect(
            Set(terms.granted) == Set(asked.dropLast().map { $0.name == "tsize" ? TFTPOption("tsize", "1234") : $0 })
        )
        #expect(try self.terms([]).granted.isEmpty)
    }

    @Test("more than the limits is cut down to them") func clamped() throws {
        #expect(try terms([TFTPOption("blksize", "99999")]).blockSize == 65_464)
        let jumbo = try terms([TFTPOption("windowsize", "65535"), TFTPOption("blksize", "65464")])
        #expect(jumbo.windowSize == (1 << 20) / 65_464)
        #expect(
            try terms([TFTPOption("blksize", "1428"), TFTPOption("windowsize", "64")], .write, limits: .writing)
                .windowSize < 64
        )
        let limited = TFTPLimits.reading.limited(to: 8000)
        let slow = try terms([TFTPOption("blksize", "65464"), TFTPOption("windowsize", "64")], limits: limited)
        #expect(slow.blockSize * slow.windowSize <= 2000)
    }

    @Test(
        "RFC 2347: a value that can't be is refused with error 8",
        arguments: [
            ("blksize", "7"), ("blksize", ""), ("blksize", "-8"), ("blksize", "+512"), ("blksize", "512x"),
            ("blksize", "99999999999999999999"), ("windowsize", "0"), ("timeout", "0"), ("timeout", "256"),
            ("tsize", "a"),
            ("tsize", "-1"),
        ]
    ) func refused(name: String, value: String) {
        let refusal = #expect(throws: TFTPRefusal.self) { try terms([TFTPOption(name, value)]) }
        #expect(refusal?.code == .optionRefused)
    }

    @Test("an option that is there twice is refused") func twice() {
        #expect(throws: TFTPRefusal.self) { try terms([TFTPOption("blksize", "512"), TFTPOption("blksize", "1024")]) }
    }

    @Test(
        "netascii: lines to CR LF and back, however blocks cut them",
        arguments: ["", "\r", "a\nb", "\r\n", "\n\n\r\r\n", "x\r"]
    )
    func netascii(text: String) {
        let bytes = Array(text.utf8)
        let encoded = NetASCII.encode(bytes)
        for cut in 0...encoded.count {
            var decoder = NetASCII.Decoder()
            let decoded = decoder.decode(encoded[..<cut]) + decoder.decode(encoded[cut...]) + decoder.finish()
            #expect(decoded == bytes)
        }
        #expect(!encoded.isEmpty || bytes.isEmpty)
    }

    @Test("netascii: the bytes of RFC 764") func netasciiBytes() {
        #expect(NetASCII.encode("a\nb\rc".utf8) == Array("a\r\nb\r\0c".utf8))
        var decoder = NetASCII.Decoder()
        #expect(decoder.decode("a\rb\r\r\nc\r".utf8) + decoder.finish() == Array("a\rb\r\nc\r".utf8))
    }
}
