/// Turns bytes that come in pieces into the characters of a manifest: UTF-8 checked, every kind of line end made a
/// newline, positions counted (build2-facts, 1.1).
struct ManifestScanner: Sendable {
    /// A character and where it stands.
    struct Character: Sendable, Hashable {
        var scalar: Unicode.Scalar
        var position: ManifestPosition
    }

    private let source: String
    private(set) var position = ManifestPosition(line: 1, column: 1)
    private var pending: [UInt8] = []
    private var carriageReturn: ManifestPosition?

    init(source: String) { self.source = source }

    /// Hands the characters of a piece to the body.
    mutating func scan(
        _ bytes: some Sequence<UInt8>,
        _ body: (Character) throws(ManifestError) -> Void
    ) throws(ManifestError) {
        for byte in bytes {
            if pending.isEmpty, byte < 0x80 {
                try deliver(Unicode.Scalar(byte), body)
                continue
            }
            pending.append(byte)
            switch Self.decode(pending) {
            case .complete(let scalar):
                pending.removeAll(keepingCapacity: true)
                try deliver(scalar, body)
            case .incomplete: break
            case .invalid: throw ManifestError(source, position, "invalid UTF-8")
            }
        }
    }

    /// Hands over what waited for more to come.
    mutating func finish(_ body: (Character) throws(ManifestError) -> Void) throws(ManifestError) {
        guard pending.isEmpty else {
            throw ManifestError(source, position, "invalid UTF-8: it ends within a character")
        }
        try deliverNewline(body)
    }

    private mutating func deliver(
        _ scalar: Unicode.Scalar,
        _ body: (Character) throws(ManifestError) -> Void
    ) throws(ManifestError) {
        guard ManifestText.admits(scalar) else {
            throw ManifestError(source, position, "U+\(Self.hexadecimal(scalar)) is not allowed in a manifest")
        }
        switch scalar {
        case "\r":
            if carriageReturn == nil { carriageReturn = position }
        case "\n":
            if carriageReturn == nil { carriageReturn = position }
            try deliverNewline(body)
        default:
            try deliverNewline(body)
            try body(Character(scalar: scalar, position: position))
            position.column += 1
        }
    }

    private mutating func deliverNewline(
        _ body: (Character) throws(ManifestError) -> Void
    ) throws(ManifestError) {
        guard let place = carriageReturn else { return }
        carriageReturn = nil
        position = ManifestPosition(line: position.line + 1, column: 1)
        try body(Character(scalar: "\n", position: place))
    }

    private enum Decoded {
        case complete(Unicode.Scalar), incomplete, invalid
    }

    private static func decode(_ bytes: [UInt8]) -> Decoded {
        let length: Int
        switch bytes[0] {
        case 0xc2...0xdf: length = 2
        case 0xe0...0xef: length = 3
        case 0xf0...0xf4: length = 4
        default: return .invalid
        }
        guard bytes.dropFirst().allSatisfy({ $0 & 0xc0 == 0x80 }) else { return .invalid }
        guard bytes.count == length else { return .incomplete }
        let lead = UInt32(bytes[0]) & (length == 2 ? 0x1f : length == 3 ? 0x0f : 0x07)
        let value = bytes.dropFirst().reduce(lead) { $0 << 6 | UInt32($1 & 0x3f) }
        let smallest: UInt32 = length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000
        guard value >= smallest, let scalar = Unicode.Scalar(value) else { return .invalid }
        return .complete(scalar)
    }

    private static func hexadecimal(_ scalar: Unicode.Scalar) -> String {
        let digits = String(scalar.value, radix: 16, uppercase: true)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}
