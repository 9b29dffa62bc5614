/// The grammar of manifests, a character at a time (build2-facts, 1.2 and 1.3).
struct ManifestGrammar: Sendable {
    private enum State: Sendable {
        /// Between pairs.
        case between
        case comment
        case name
        case afterName
        case afterColon
        /// `:` and a backslash.
        case afterColonBackslash
        /// `:` and a newline: empty, unless a line with a backslash alone follows.
        case afterColonNewline
        case afterColonNewlineBackslash
        case value(Escape)
    }

    /// What stands before the next character of a value.
    private enum Escape: Sendable {
        case none
        /// `\`
        case backslash
        /// `\\`
        case twoBackslashes
        /// `\` and a newline, which join lines …
        case joined
        /// … or, with another `\` and a newline, stand for a newline.
        case joinedBackslash

        var isJoined: Bool { if case .joined = self { true } else { false } }
    }

    private let source: String
    private let limits: ManifestLimits
    private(set) var manifests: [Manifest] = []
    private var state = State.between
    private var name = String.UnicodeScalarView()
    private var namePosition = ManifestPosition(line: 1, column: 1)
    private var value = String.UnicodeScalarView()
    private var isMultiline = false
    /// In a multi-line value: nothing of the line has come.
    private var isLineStart = false
    /// In a multi-line value: a newline that counts if anything but the end follows.
    private var hasOpenNewline = false

    init(source: String, limits: ManifestLimits) {
        self.source = source
        self.limits = limits
    }

    mutating func handle(_ character: ManifestScanner.Character) throws(ManifestError) {
        let scalar = character.scalar
        switch state {
        case .between:
            switch scalar {
            case " ", "\t", "\n": break
            case "#": state = .comment
            default:
                namePosition = character.position
                name.removeAll()
                state = .name
                try handle(character)
            }
        case .comment:
            if scalar == "\n" { state = .between }
        case .name:
            switch scalar {
            case ":": beginValue()
            case " ", "\t": state = .afterName
            case "\n": throw ManifestError(source, character.position, "':' expected after name")
            default:
                name.append(scalar)
                guard name.count <= limits.nameLength else {
                    throw ManifestError(source, namePosition, "a name of more than \(limits.nameLength) characters")
                }
            }
        case .afterName:
            switch scalar {
            case " ", "\t": break
            case ":": beginValue()
            default: throw ManifestError(source, character.position, "':' expected after name")
            }
        case .afterColon:
            switch scalar {
            case " ", "\t": break
            case "\\": state = .afterColonBackslash
            case "\n": state = .afterColonNewline
            default:
                state = .value(.none)
                try handleValue(character, .none)
            }
        case .afterColonBackslash:
            if scalar == "\n" {
                beginMultiline()
            } else {
                try handleValue(character, .backslash)
            }
        case .afterColonNewline:
            if scalar == "\\" {
                state = .afterColonNewlineBackslash
            } else {
                try finishPair()
                try handle(character)
            }
        case .afterColonNewlineBackslash:
            if scalar == "\n" {
                beginMultiline()
            } else {
                try finishPair()
                var backslash = character
                backslash.scalar = "\\"
                backslash.position.column -= 1
                try handle(backslash)
                try handle(character)
            }
        case .value(let escape): try handleValue(character, escape)
        }
    }

    mutating func end(at position: ManifestPosition) throws(ManifestError) {
        switch state {
        case .between, .comment: break
        case .name, .afterName: throw ManifestError(source, position, "':' expected after name")
        case .afterColon, .afterColonNewline, .afterColonBackslash, .afterColonNewlineBackslash: try finishPair()
        case .value(let escape):
            switch escape {
            case .none, .joined: if isMultiline { closeNewline() }
            case .backslash where isMultiline && isLineStart: break
            case .backslash, .joinedBackslash: append("\\")
            case .twoBackslashes:
                append("\\")
                append("\\")
            }
            try finishPair()
        }
    }

    private mutating func beginValue() {
        value.removeAll()
        isMultiline = false
        isLineStart = false
        hasOpenNewline = false
        state = .afterColon
    }

    private mutating func beginMultiline() {
        isMultiline = true
        isLineStart = true
        state = .value(.none)
    }

    private mutating func handleValue(
        _ character: ManifestScanner.Character,
        _ escape: Escape
    ) throws(ManifestError) {
        let scalar = character.scalar
        switch (escape, scalar) {
        case (.none, "\\"), (.joined, "\\"):
            state = .value(escape.isJoined ? .joinedBackslash : .backslash)
        case (.none, "\n"), (.joined, "\n"): try endLine()
        case (.none, _), (.joined, _): append(scalar)

        case (.backslash, "\n"):
            if isMultiline && isLineStart {
                try finishPair()
            } else {
                state = .value(.joined)
            }
        case (.backslash, "\\"), (.joinedBackslash, "\\"): state = .value(.twoBackslashes)
        case (.backslash, _):
            append("\\")
            append(scalar)

        case (.twoBackslashes, "\n"):
            append("\\")
            try endLine()
        case (.twoBackslashes, _):
            append("\\")
            try handleValue(character, .backslash)

        case (.joinedBackslash, "\n"): append("\n")
        case (.joinedBackslash, _):
            append("\\")
            append(scalar)
        }
    }

    private mutating func append(_ scalar: Unicode.Scalar) {
        closeNewline()
        value.append(scalar)
        isLineStart = false
        state = .value(.none)
    }

    private mutating func closeNewline() {
        if hasOpenNewline { value.append("\n") }
        hasOpenNewline = false
    }

    private mutating func endLine() throws(ManifestError) {
        guard isMultiline else { return try finishPair() }
        closeNewline()
        hasOpenNewline = true
        isLineStart = true
        state = .value(.none)
    }

    private mutating func finishPair() throws(ManifestError) {
        state = .between
        if !isMultiline {
            while let last = value.last, last == " " || last == "\t" { value.removeLast() }
        }
        let pair = ManifestPair(String(name), String(value), at: namePosition)
        value.removeAll()
        guard !pair.name.isEmpty else { return try beginManifest(pair) }
        guard let last = manifests.indices.last else {
            throw ManifestError(source, namePosition, "format version pair expected")
        }
        guard manifests[last].pairs.count < limits.pairs else {
            throw ManifestError(source, namePosition, "more than \(limits.pairs) pairs in a manifest")
        }
        manifests[last].pairs.append(pair)
    }

    private mutating func beginManifest(_ pair: ManifestPair) throws(ManifestError) {
        if manifests.isEmpty && pair.value.isEmpty {
            throw ManifestError(source, namePosition, "format version value expected")
        }
        guard pair.value.isEmpty || pair.value == "1" else {
            throw ManifestError(source, namePosition, "unsupported format version \(pair.value.prefix(40))")
        }
        guard manifests.count < limits.manifests else {
            throw ManifestError(source, namePosition, "more than \(limits.manifests) manifests")
        }
        manifests.append(Manifest())
    }
}
