/// What an auxiliary machine tells of itself to those who build: `NAME=value`, a line each (build2-facts, 2.4).
enum AuxiliaryEnvironment {
    /// The file that a machine hands over when it can be used.
    static let fileName = "environment"
    /// The most that it may hand over.
    static let maximumBytes = 64 << 10

    /// The lines as a worker gets them.
    ///
    /// - Parameters:
    ///   - key: the `<key>` of the task's `auxiliary-machine-<key>`; the names begin with it, in capital letters.
    /// - Throws: ``ManifestError`` for lines that are none of an environment: they come from a guest.
    static func lines(_ text: String, key: String, source: String) throws(ManifestError) -> [String] {
        let prefix = prefix(key)
        var lines: [String] = []
        // By bytes: CR and LF together are a single character.
        let rows = text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (index, row) in rows.enumerated() {
            func failure(_ cause: String) -> ManifestError { ManifestError("\(source), line \(index + 1)", nil, cause) }
            let line = String(decoding: row.last == UInt8(ascii: "\r") ? row.dropLast() : row, as: UTF8.self)
            guard let first = line.first(where: { $0 != " " && $0 != "\t" }), first != "#" else { continue }
            guard let sign = line.firstIndex(of: "=") else { throw failure("it is not NAME=value") }
            let name = line[..<sign]
            guard let initial = name.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(initial),
                name.utf8.allSatisfy(isOfName)
            else {
                throw failure("'\(ManifestText.sanitised(String(name.prefix(40))))' is not of A to Z, 0 to 9 and _")
            }
            let value = line[line.index(after: sign)...]
            guard value.unicodeScalars.allSatisfy(ManifestText.admits) else {
                throw failure("the value of \(name) holds what a manifest can't")
            }
            guard isWhole(value) else { throw failure("a quote in the value of \(name) is not closed") }
            lines.append("\(prefix)\(name)=\(value)")
        }
        return lines
    }

    /// `pg-sql` becomes `PG_SQL_`.
    static func prefix(_ key: String) -> String {
        guard !key.isEmpty else { return "" }
        let letters = key.uppercased().utf8.map { isOfName($0) ? $0 : UInt8(ascii: "_") }
        return String(decoding: letters, as: UTF8.self) + "_"
    }

    private static func isOfName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"): true
        default: false
        }
    }

    /// Whether a value that begins with a quote ends with it, and holds no other.
    private static func isWhole(_ value: Substring) -> Bool {
        guard let quote = value.first, quote == "'" || quote == "\"" else { return true }
        return value.count > 1 && value.last == quote && !value.dropFirst().dropLast().contains(quote)
    }
}
