/// Which characters a manifest may hold (build2-facts, 1.1).
enum ManifestText {
    /// Whether a code point may stand in a manifest: graphic, or one of newline, carriage return and tab. What Unicode
    /// assigned after version 12 counts as not assigned, as it does for the parsers on the other side.
    static func admits(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.value < 0x7f { return scalar.value >= 0x20 || "\n\r\t".unicodeScalars.contains(scalar) }
        switch scalar.properties.generalCategory {
        case .control, .format, .privateUse, .surrogate, .unassigned: return false
        default: break
        }
        guard let age = scalar.properties.age else { return false }
        return age.major <= 12
    }

    /// A text with `?` for each code point that a manifest can't hold, such as a build's log.
    static func sanitised(_ text: String) -> String {
        guard !text.unicodeScalars.allSatisfy(admits) else { return text }
        return String(String.UnicodeScalarView(text.unicodeScalars.map { admits($0) ? $0 : "?" }))
    }
}
