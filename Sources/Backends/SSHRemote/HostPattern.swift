/// Host names with wildcards (ssh_config(5), "PATTERNS").
enum HostPattern {
    /// Whether a list of patterns means a name: one of them matches, and none that begins with `!`.
    ///
    /// - Parameter ignoringCase: as known_hosts does it; ssh_config doesn't.
    static func matches(_ patterns: [some StringProtocol], _ name: String, ignoringCase: Bool = false) -> Bool {
        var isMatched = false
        for pattern in patterns {
            if pattern.hasPrefix("!") {
                if matches(pattern.dropFirst(), name, ignoringCase: ignoringCase) { return false }
            } else if matches(pattern, name, ignoringCase: ignoringCase) {
                isMatched = true
            }
        }
        return isMatched
    }

    /// Whether one pattern matches; `*` is anything, `?` one byte.
    ///
    /// In time that grows with the product of the lengths at most.
    static func matches(_ pattern: some StringProtocol, _ name: String, ignoringCase: Bool = false) -> Bool {
        let pattern = ignoringCase ? Array(pattern.lowercased().utf8) : Array(pattern.utf8)
        let name = ignoringCase ? Array(name.lowercased().utf8) : Array(name.utf8)
        var atPattern = 0
        var atName = 0
        var star: (pattern: Int, name: Int)?
        while atName < name.count {
            if atPattern < pattern.count, pattern[atPattern] == UInt8(ascii: "*") {
                star = (atPattern, atName)
                atPattern += 1
            } else if atPattern < pattern.count,
                pattern[atPattern] == UInt8(ascii: "?") || pattern[atPattern] == name[atName]
            {
                atPattern += 1
                atName += 1
            } else if let last = star {
                star = (last.pattern, last.name + 1)
                atPattern = last.pattern + 1
                atName = last.name + 1
            } else {
                return false
            }
        }
        return pattern[atPattern...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
