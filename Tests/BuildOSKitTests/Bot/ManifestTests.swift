import TestSupport
import Testing

@testable import BuildOSKit

/// The vectors are those of build2-facts, 1.3 and 1.4, tried there against the real parser.
@Suite("BOT-3: manifests") struct ManifestTests {
    static let read: [(text: String, pairs: [[ManifestPair]])] = [
        (":1\na:x\n:\nb:y", [[pair("a", "x")], [pair("b", "y")]]),
        (":1\na:x\\\ny", [[pair("a", "xy")]]),
        (":1\na: \t xyz \t ", [[pair("a", "xyz")]]),
        (":1\na:x\\\n\\\ny", [[pair("a", "x\ny")]]),
        (":1\na:\\\n\n\n\\", [[pair("a", "\n")]]),
        (":1\na:\\x", [[pair("a", "\\x")]]),
        (":1\na:\\\n \n#\t\n\\", [[pair("a", " \n#\t")]]),
        (":1\na:x\\\\\nb:", [[pair("a", "x\\"), pair("b", "")]]),
        (":1\na:x\\\\\\\nb:", [[pair("a", "x\\\\"), pair("b", "")]]),
        (":1\na:\\\nx\\\ny\n\\", [[pair("a", "xy")]]),
        (":1\na : x : y", [[pair("a", "x : y")]]),
        (": 1\na:\n\\\nl1\\\\\n\\\n", [[pair("a", "l1\\")]]),
        (": 1\na:\n\\\ntrunc", [[pair("a", "trunc")]]),
        (":1\na: a\\b\\\\c", [[pair("a", "a\\b\\\\c")]]),
        (":1\na:\n\\\nl1\n \\\nl2\n\\\n", [[pair("a", "l1\n l2")]]),
        (":1\na:\n\\\n\\\n", [[pair("a", "")]]),
        (":1\na: \\\nx\n\\\n", [[pair("a", "x")]]),
        (":1\na:x\\\n  y", [[pair("a", "x  y")]]),
        (":1\na: x # y", [[pair("a", "x # y")]]),
        (":1\na:\nb: y", [[pair("a", ""), pair("b", "y")]]),
        (":1\r\na: x\r\r\nb: y\rc: z", [[pair("a", "x"), pair("b", "y"), pair("c", "z")]]),
        (":1\n:\n: 1\n", [[], [], []]),
        ("  # comment\n\n\t: 1\n # another\na: \u{a0}\u{2028}\u{1f600}", [[pair("a", "\u{a0}\u{2028}\u{1f600}")]]),
        ("", []), ("\n \n# nothing", []),
    ]

    @Test("BOT-3: what is read", arguments: read)
    func reading(text: String, pairs: [[ManifestPair]]) throws {
        #expect(try ManifestParser.parse(text.utf8, source: "text").map(\.pairs) == pairs)
    }

    static let refused: [(bytes: [UInt8], position: String, cause: String)] = [
        (Array("a:x".utf8), "1:1", "format version pair expected"),
        (Array(":".utf8), "1:1", "format version value expected"),
        (Array(":9".utf8), "1:1", "unsupported format version 9"),
        (Array(":1\na: b\n : x\n".utf8), "3:2", "unsupported format version x"),
        (Array(":1\na b:x".utf8), "2:3", "':' expected after name"),
        (Array("a".utf8), "1:2", "':' expected after name"),
        (Array(":1\na\n".utf8), "2:2", "':' expected after name"),
        (Array("\u{feff}: 1\n".utf8), "1:1", "U+FEFF is not allowed in a manifest"),
        (Array(":1\n# \u{200b}\n".utf8), "2:3", "U+200B is not allowed in a manifest"),
        (Array(":1\na: \u{ad}".utf8), "2:4", "U+00AD is not allowed in a manifest"),
        (Array(":1\na: \u{7f}".utf8), "2:4", "U+007F is not allowed in a manifest"),
        (Array(":1\na: \u{85}".utf8), "2:4", "U+0085 is not allowed in a manifest"),
        (Array(":1\na: \u{1b}".utf8), "2:4", "U+001B is not allowed in a manifest"),
        (Array(":1\na: \u{e000}".utf8), "2:4", "U+E000 is not allowed in a manifest"),
        (Array(":1\na: \u{fffe}".utf8), "2:4", "U+FFFE is not allowed in a manifest"),
        (Array(":1\na: ".utf8) + [0xed, 0xa0, 0x80], "2:4", "invalid UTF-8"),
        (Array(":1\na: ".utf8) + [0xc0, 0xaf], "2:4", "invalid UTF-8"),
        (Array(":1\na: ".utf8) + [0xe2, 0x82], "2:4", "invalid UTF-8: it ends within a character"),
    ]

    @Test("BOT-3: what is refused, and where", arguments: refused)
    func refusing(bytes: [UInt8], position: String, cause: String) {
        #expect(throws: ManifestError.self) {
            do throws(ManifestError) {
                _ = try ManifestParser.parse(bytes, source: "text")
            } catch {
                #expect(error.description == "text:\(position): error: \(cause)")
                throw error
            }
        }
    }

    @Test("BOT-3: bounds on bytes, manifests, pairs and names hold")
    func bounds() {
        let limits = ManifestLimits(bytes: 100, manifests: 2, pairs: 2, nameLength: 5)
        for text in [
            ":1\n" + String(repeating: "#", count: 100), ":1\n:\n:\n", ":1\na:\na:\na:\n", ":1\nabcdef: x\n",
        ] {
            #expect(throws: ManifestError.self, "\(text)") {
                try ManifestParser.parse(text.utf8, source: "text", limits: limits)
            }
        }
    }

    static let written: [(value: String, text: String)] = [
        ("", "a:\n"), ("\n", "a:\n\\\n\n\n\\\n"), (" x", "a:\n\\\n x\n\\\n"), ("c:\\", "a: c:\\\\\n"),
        ("x\r\ny", "a:\n\\\nx\ny\n\\\n"), ("#x", "a: #x\n"), ("\\", "a: \\\\\n"), ("x\n\\", "a:\n\\\nx\n\\\\\n\\\n"),
    ]

    @Test("BOT-3: what is written", arguments: written)
    func writing(value: String, text: String) throws {
        let bytes = try ManifestSerializer.serialize([Manifest([Self.pair("a", value)])])
        #expect(String(decoding: bytes, as: UTF8.self) == ": 1\n" + text)
    }

    @Test("BOT-3: a long name has its value on lines of its own; a long line is broken where build2 breaks it")
    func longLines() throws {
        let name = String(repeating: "n", count: 38)
        let long = try ManifestSerializer.serialize([Manifest([Self.pair(name, "x")])])
        #expect(String(decoding: long, as: UTF8.self) == ": 1\n\(name):\n\\\nx\n\\\n")
        let session =
            "4d4c8b36-56c5-42e0-91d1-58bfd1228002/libhello/1.1.0+10/x86_64-linux-gnu/linux_fedora_37-gcc_12.2-bindist/"
            + "default/queue/0.3.0/1683122318585120886"
        let broken = try ManifestSerializer.serialize([Manifest([Self.pair("session", session)])])
        #expect(
            String(decoding: broken, as: UTF8.self) == """
                : 1
                session: 4d4c8b36-56c5-42e0-91d1-58bfd1228002/libhello/1.1.0+10/x86_64-linux-\\
                gnu/linux_fedora_37-gcc_12.2-bindist/default/queue/0.3.0/1683122318585120886

                """
        )
    }

    @Test("BOT-3: what can't be in a manifest is not written")
    func notWritten() {
        for pair in [
            Self.pair("", "x"), Self.pair("#a", "x"), Self.pair("a b", "x"), Self.pair("a:", "x"),
            Self.pair("a\n", "x"), Self.pair("a", "\u{1b}[0m"),
        ] {
            #expect(throws: ManifestError.self, "\(pair)") { try ManifestSerializer.serialize([Manifest([pair])]) }
        }
        #expect(ManifestText.sanitised("a\u{1b}[0m\u{200b}\n") == "a?[0m?\n")
    }

    @Test("BOT-3: whatever is written is read as it was (10,000 random manifests)")
    func roundTrip() throws {
        var generator = SeededGenerator(seed: 11)
        let characters: [Character] = ["\\", "\n", " ", "\t", "#", ":", "x", "y", "\u{e9}", "\u{1f600}"]
        for _ in 0..<10_000 {
            let pairs = (0..<Int.random(in: 0...3, using: &generator)).map { _ in
                let length = Int.random(in: 0...5, using: &generator) == 0 ? 200 : 12
                let value = String(
                    (0..<Int.random(in: 0...length, using: &generator)).map { _ in
                        characters[Int.random(in: 0..<characters.count, using: &generator)]
                    }
                )
                return Self.pair(Bool.random(using: &generator) ? "a" : String(repeating: "b", count: 37), value)
            }
            let manifests = [Manifest(pairs), Manifest(pairs.reversed())]
            let text = try ManifestSerializer.serialize(manifests)
            #expect(try ManifestParser.parse(text, source: "text") == manifests, "\(pairs)")
        }
    }

    @Test("BOT-3: random bytes are read or refused, the same in one piece and in many (20,000 texts)")
    func fuzz() {
        var generator = SeededGenerator(seed: 12)
        let alphabet = Array(":1a\\\n\r \t#x".utf8) + [0xe2, 0x80, 0x8b, 0xff]
        for _ in 0..<20_000 {
            let bytes =
                Array(":1\n".utf8)
                + (0..<Int.random(in: 0...30, using: &generator)).map { _ in
                    alphabet[Int.random(in: 0..<alphabet.count, using: &generator)]
                }
            let whole = Result { () throws(ManifestError) in try ManifestParser.parse(bytes, source: "text") }
            let pieces = Result { () throws(ManifestError) in
                var parser = ManifestParser(source: "text")
                var rest = bytes[...]
                while !rest.isEmpty {
                    let piece = rest.prefix(Int.random(in: 1...4, using: &generator))
                    try parser.consume(piece)
                    rest = rest.dropFirst(piece.count)
                }
                return try parser.finish()
            }
            #expect(whole == pieces, "\(bytes)")
        }
    }

    static func pair(_ name: String, _ value: String) -> ManifestPair { ManifestPair(name, value) }
}
