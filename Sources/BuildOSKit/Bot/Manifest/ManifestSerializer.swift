/// Writes manifests as build2 does (build2-facts, 1.4).
public enum ManifestSerializer {
    /// Writes a stream of manifests.
    ///
    /// - Throws: ``ManifestError`` for a name or a value that a manifest can't hold.
    public static func serialize(_ manifests: [Manifest]) throws(ManifestError) -> [UInt8] {
        var text: [UInt8] = []
        for (index, manifest) in manifests.enumerated() {
            text += (index == 0 ? ": 1\n" : ":\n").utf8
            for pair in manifest.pairs { try write(pair, to: &text) }
        }
        return text
    }

    private static func write(_ pair: ManifestPair, to text: inout [UInt8]) throws(ManifestError) {
        guard isName(pair.name) else {
            throw ManifestError("manifest", nil, "'\(ManifestText.sanitised(pair.name).prefix(80))' can't be a name")
        }
        guard pair.value.unicodeScalars.allSatisfy(ManifestText.admits) else {
            throw ManifestError("manifest", nil, "the value of '\(pair.name)' holds what a manifest can't")
        }
        text += "\(pair.name):".utf8
        let length = pair.name.unicodeScalars.count + 2
        let value = pair.value.unicodeScalars
        if value.isEmpty && length <= simpleLimit {
            text.append(newline)
        } else if length > simpleLimit || value.contains(where: { $0 == "\n" || $0 == "\r" })
            || value.first.map(isBlank) == true || value.last.map(isBlank) == true
        {
            text += "\n\\\n".utf8
            for line in lines(value) {
                writeFragment(line, column: 0, to: &text)
                text.append(newline)
            }
            text += "\\\n".utf8
        } else {
            text.append(UInt8(ascii: " "))
            writeFragment(Array(pair.value.utf8), column: length, to: &text)
            text.append(newline)
        }
    }

    /// A name longer than this, `: ` counted, has its value on lines of its own.
    private static let simpleLimit = 39
    private static let newline = UInt8(ascii: "\n")
    private static let backslash = UInt8(ascii: "\\")

    private static func isName(_ name: String) -> Bool {
        guard let first = name.unicodeScalars.first, first != "#" else { return false }
        return name.unicodeScalars.allSatisfy {
            ManifestText.admits($0) && !isBlank($0) && $0 != "\n" && $0 != "\r" && $0 != ":"
        }
    }

    private static func isBlank(_ scalar: Unicode.Scalar) -> Bool { scalar == " " || scalar == "\t" }

    /// The lines of a value, each kind of line end taken for one.
    private static func lines(_ value: String.UnicodeScalarView) -> [[UInt8]] {
        var lines: [[UInt8]] = [[]]
        var wasCarriageReturn = false
        for scalar in value {
            switch scalar {
            case "\n" where wasCarriageReturn: break
            case "\n", "\r": lines.append([])
            default: lines[lines.count - 1] += UTF8.encode(scalar).map(Array.init) ?? []
            }
            wasCarriageReturn = scalar == "\r"
        }
        return lines
    }

    /// Writes a line of at most 78 code points, broken by `\` and a newline at blanks where there are any.
    private static func writeFragment(_ bytes: [UInt8], column: Int, to text: inout [UInt8]) {
        var column = column
        for (index, byte) in bytes.enumerated() {
            if byte & 0xc0 != 0x80 {
                if index == 0 || bytes[index - 1] != backslash, mustBreak(bytes, index, column) {
                    text += "\\\n".utf8
                    column = 0
                }
                column += 1
            }
            text.append(byte)
        }
        if bytes.last == backslash { text.append(backslash) }
    }

    private static func mustBreak(_ bytes: [UInt8], _ index: Int, _ column: Int) -> Bool {
        if column >= (index == bytes.count - 1 ? 78 : 77) { return true }
        guard column > 57, isBlank(Unicode.Scalar(bytes[index])) else { return false }
        let next = bytes[(index + 1)...].firstIndex { isBlank(Unicode.Scalar($0)) } ?? bytes.count
        return column + next - index > (next == bytes.count ? 78 : 77)
    }
}
