import BuildOSKit

/// A line of an OpenSSH configuration file (ssh_config(5)).
struct SSHConfigurationLine: Sendable, Hashable {
    /// In lower case.
    let keyword: String
    let arguments: [String]
    /// `file:line`
    let place: String

    /// Splits a file's text into lines; empty ones and comments are left out.
    ///
    /// - Throws: ``TransportError`` that names the line.
    static func all(in text: String, name: String) throws(TransportError) -> [SSHConfigurationLine] {
        var lines: [SSHConfigurationLine] = []
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let place = "\(name):\(index + 1)"
            let words = try words(of: line, place: place)
            guard let keyword = words.first else { continue }
            lines.append(
                SSHConfigurationLine(keyword: keyword.lowercased(), arguments: Array(words.dropFirst()), place: place)
            )
        }
        return lines
    }

    /// The keyword ends at a blank or `=`; then words, with blanks in them if they are in double quotes.
    private static func words(of line: Substring, place: String) throws(TransportError) -> [String] {
        var rest = line.drop(while: \.isWhitespace)
        if rest.isEmpty || rest.hasPrefix("#") { return [] }
        var words = [String(rest.prefix { !$0.isWhitespace && $0 != "=" })]
        rest = rest.dropFirst(words[0].count).drop(while: \.isWhitespace)
        if rest.hasPrefix("=") { rest = rest.dropFirst() }
        var word: String?
        var isQuoted = false
        while let character = rest.popFirst() {
            if character == "\\", let next = rest.first, "\"'\\".contains(next) || (!isQuoted && next == " ") {
                word = (word ?? "") + String(rest.removeFirst())
            } else if character == "\"" {
                isQuoted.toggle()
                word = word ?? ""
            } else if character.isWhitespace, !isQuoted {
                if let word { words.append(word) }
                word = nil
            } else if character == "#", !isQuoted, word == nil {
                break
            } else {
                word = (word ?? "") + String(character)
            }
        }
        if isQuoted { throw TransportError(.cannotStart, subject: place, detail: "a quotation mark has no other") }
        if let word { words.append(word) }
        return words
    }

    func error(_ detail: String, remedy: String? = nil) -> TransportError {
        TransportError(.cannotStart, subject: "\(place) (\(keyword))", detail: detail, remedy: remedy)
    }

    /// The only argument.
    func one() throws(TransportError) -> String {
        guard let argument = arguments.first, arguments.count == 1 else { throw error("it takes one value") }
        return argument
    }

    func number(_ range: ClosedRange<Int>) throws(TransportError) -> Int {
        guard let number = Int(try one()), range.contains(number) else {
            throw error("it takes a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func flag() throws(TransportError) -> Bool {
        switch try one().lowercased() {
        case "yes", "true": true
        case "no", "false": false
        default: throw error("it takes yes or no")
        }
    }
}
