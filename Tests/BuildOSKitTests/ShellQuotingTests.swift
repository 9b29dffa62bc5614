import BuildOSKit
import LocalTransport
import TestSupport
import Testing

@Suite("Shell quoting") struct ShellQuotingTests {
    @Test("plain words stay as they are, others are put in quotes") func rendering() {
        #expect(
            ShellQuoting.line(["btrfs", "receive", "/build/machines/default", "-q"])
                == "btrfs receive /build/machines/default -q"
        )
        #expect(ShellQuoting.line(["", "a b", "it's", "$(x)"]) == "'' 'a b' 'it'\\''s' '$(x)'")
        #expect(ShellQuoting.word("A=b") == "'A=b'")
        #expect(ShellQuoting.word("~") == "'~'")
    }

    @Test("a word with a NUL can't be given to any program") func null() {
        #expect(ShellQuoting.word("a\0b") == nil)
        #expect(ShellQuoting.line(["a", "\0"]) == nil)
    }

    @Test("shells read back exactly what was quoted", arguments: ["/bin/sh", "dash", "bash"])
    func readBack(shell: String) async throws {
        var generator = SeededGenerator(seed: 0x5e11)
        let pieces = [
            "'", "\"", "\\", "$HOME", "`id`", "$(id)", "*", "?", "[a]", "~", "!", "!!", "#", ";", "&", "|", "<", ">",
            "(", ")", "{a,b}",
            " ", "\t", "\n", "\r", "=", "%", "^", "-", "--", "ä", "\u{1F600}", "\u{7f}", "\u{1b}[0m", "a", "",
        ]
        for _ in 0..<20 {
            let words = (0..<50).map { _ in
                (0..<Int.random(in: 0...6, using: &generator)).map { _ in
                    pieces.randomElement(using: &generator) ?? ""
                }.joined()
            }
            let line = try #require(ShellQuoting.line(["printf", "%s\\0"] + words))
            let result = try await LocalTransport().check(Command(shell, ["-c", line]))
            let readBack = result.output.split(separator: 0, omittingEmptySubsequences: false).dropLast()
            #expect(readBack.map { String(decoding: $0, as: UTF8.self) } == words)
        }
    }
}
