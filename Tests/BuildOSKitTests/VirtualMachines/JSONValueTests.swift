import TestSupport
import Testing

@testable import QMP

@Suite("JSON of QMP") struct JSONValueTests {
    static let values: [(text: String, value: JSONValue)] = [
        ("null", .null), (" true ", true), ("[1, -2,3]", [1, -2, 3]), ("[]", []), ("{}", [:]),
        ("{\"a\": {\"b\": [\"c\"]}}", ["a": ["b": ["c"]]]), ("1.5e2", .number(150)), ("-0", 0),
        ("9223372036854775807", .integer(.max)), ("9223372036854775808", .number(9_223_372_036_854_775_808)),
        (#""\u00e4\n\\\/\ud83d\ude00""#, "ä\n\\/\u{1f600}"), (#""\ud83d""#, "\u{fffd}"), ("\"ä\"", "ä"),
    ]

    @Test("values are read as RFC 8259 says", arguments: values)
    func reads(text: String, value: JSONValue) throws {
        #expect(try JSONValue(parsing: text.utf8) == value)
    }

    @Test(
        "what is none is refused",
        arguments: [
            "", "nul", "01", "1.", "-", "1e", "\"", "\"\\x\"", "\"\\u12\"", "\"\u{1}\"", "[1,]", "[1", "{\"a\"}",
            "{1: 2}",
            "{\"a\": 1,}", "1 2", "+1", ".5", "\"\\ud83d\\u12\"",
        ]
    )
    func refuses(text: String) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: text.utf8) }
    }

    @Test("bytes that are not UTF-8 are refused")
    func invalidUTF8() {
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xff, 0x22]) }
    }

    @Test("depth is bounded: a million brackets are an error, not a crash")
    func depth() {
        #expect(throws: JSONError.self) {
            try JSONValue(parsing: [UInt8](repeating: UInt8(ascii: "["), count: 1_000_000))
        }
        let deepest = JSONValue.greatestDepth
        let text = String(repeating: "[", count: deepest) + String(repeating: "]", count: deepest)
        #expect(throws: Never.self) { try JSONValue(parsing: text.utf8) }
    }

    @Test("what is written is on one line, in ASCII, and is read as it was")
    func roundTrip() throws {
        let value: JSONValue = ["b\n": ["ä\u{1f600}\"\\\u{7f}", .null, true, 1.5.json, -7], "a": [:]]
        #expect(value.description.utf8.allSatisfy { (0x20...0x7e).contains($0) })
        #expect(try JSONValue(parsing: value.description.utf8) == value)
        #expect(value.description.hasPrefix("{\"a\": {}, "))
    }

    @Test(
        "mutated messages crash nothing, and what is taken can be written and read again",
        arguments: 0..<8 as Range<UInt64>
    )
    func fuzz(seed: UInt64) throws {
        let samples = [
            QMPStub.greeting,
            #"{"return": {"status": "running", "singlestep": false, "running": true}, "id": 7}"#,
            #"{"timestamp": {"seconds": 1795590885, "microseconds": 900701}, "event": "STOP", "data": {"x": [1.5e3]}}"#,
            #"{"error": {"class": "GenericError", "desc": "\u00e4\ud83d\ude00 \\ \" \n"}, "id": null}"#,
        ]
        var generator = SeededGenerator(seed: seed)
        let alphabet = Array("{}[]\",:\\u0123456789eE+-.tfnd \r\n".utf8) + [0, 0x1f, 0x80, 0xc3, 0xff]
        for _ in 0..<5_000 {
            var bytes = Array(samples.randomElement(using: &generator)?.utf8 ?? "".utf8)
            for _ in 0..<Int.random(in: 1...6, using: &generator) where !bytes.isEmpty {
                let position = Int.random(in: 0..<bytes.count, using: &generator)
                let byte = alphabet.randomElement(using: &generator) ?? 0
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes[position] = byte
                case 1: bytes.insert(byte, at: position)
                case 2: bytes.remove(at: position)
                default: bytes = Array(bytes[..<position] + bytes[(position / 2)...])
                }
            }
            _ = try? QMPMessage(parsing: bytes)
            guard let value = try? JSONValue(parsing: bytes) else { continue }
            let again = try JSONValue(parsing: value.description.utf8)
            #expect(again.description == value.description, "seed \(seed): \(bytes)")
        }
    }

    @Test("lines are the same however the stream is cut", arguments: 0..<4 as Range<UInt64>)
    func cuts(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let stream = Array("one\r\n\r\ntwo\nthree\r\n".utf8)
        for _ in 0..<200 {
            var reader = LineReader()
            var lines: [String] = []
            var rest = stream[...]
            while !rest.isEmpty {
                let count = Int.random(in: 1...rest.count, using: &generator)
                try reader.feed(rest.prefix(count)) { lines.append(String(decoding: $0, as: UTF8.self)) }
                rest = rest.dropFirst(count)
            }
            #expect(lines == ["one", "two", "three"])
        }
    }
}

extension Double {
    fileprivate var json: JSONValue { .number(self) }
}
