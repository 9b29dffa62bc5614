/// Quotes words for a shell that is out of reach: what sshd(8) runs is one string, read by the user's login shell.
///
/// The only place where such a string is made. On this machine nothing is ever read by a shell.
public enum ShellQuoting {
    /// Words joined by blanks so that a POSIX shell (2.2.2, "Single-Quotes") reads exactly these words.
    ///
    /// - Returns: `nil` if a word holds a NUL, which no argument can hold.
    public static func line(_ words: [String]) -> String? {
        var quoted: [String] = []
        for word in words {
            guard let word = Self.word(word) else { return nil }
            quoted.append(word)
        }
        return quoted.joined(separator: " ")
    }

    /// One word.
    ///
    /// - Returns: `nil` if it holds a NUL.
    public static func word(_ word: String) -> String? {
        guard !word.utf8.contains(0) else { return nil }
        if !word.isEmpty, word.utf8.allSatisfy(isPlain) { return word }
        var bytes: [UInt8] = [quote]
        for byte in word.utf8 {
            // A quote can't be inside of quotes: end them, a quote behind a backslash, begin them again.
            if byte == quote { bytes += [quote, UInt8(ascii: "\\"), quote, quote] } else { bytes.append(byte) }
        }
        bytes.append(quote)
        return String(decoding: bytes, as: UTF8.self)
    }

    private static let quote = UInt8(ascii: "'")

    /// Bytes that mean nothing to any shell wherever they stand. Not `=` and `~`: they do at some places.
    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "/"), UInt8(ascii: ","), UInt8(ascii: ":"), UInt8(ascii: "@"):
            true
        default: false
        }
    }
}
