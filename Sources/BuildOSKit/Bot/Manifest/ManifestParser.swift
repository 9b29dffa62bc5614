/// What bounds a manifest that comes from outside.
public struct ManifestLimits: Sendable, Hashable {
    /// Most bytes of the whole text.
    public var bytes: Int
    /// Most manifests in it.
    public var manifests: Int
    /// Most pairs of one manifest.
    public var pairs: Int
    /// Most code points of a name.
    public var nameLength: Int

    /// Creates limits; the defaults suit everything but results.
    public init(bytes: Int = 1 << 20, manifests: Int = 1024, pairs: Int = 1024, nameLength: Int = 256) {
        self.bytes = bytes
        self.manifests = manifests
        self.pairs = pairs
        self.nameLength = nameLength
    }

    /// Results, with their logs: as much as controllers take (build2-facts, 2.1).
    public static let result = ManifestLimits(bytes: 15 << 20)
}

/// Reads a stream of manifests piece by piece, exactly to the grammar of build2 (build2-facts, 1.2 and 1.3).
public struct ManifestParser: Sendable {
    private let source: String
    private let limits: ManifestLimits
    private var scanner: ManifestScanner
    private var grammar: ManifestGrammar
    private var byteCount = 0

    /// Creates a parser.
    ///
    /// - Parameter source: where the text comes from, for errors.
    public init(source: String, limits: ManifestLimits = ManifestLimits()) {
        self.source = source
        self.limits = limits
        scanner = ManifestScanner(source: source)
        grammar = ManifestGrammar(source: source, limits: limits)
    }

    /// Reads all manifests of a text.
    ///
    /// - Throws: ``ManifestError``
    public static func parse(
        _ bytes: some Sequence<UInt8>,
        source: String,
        limits: ManifestLimits = ManifestLimits()
    ) throws(ManifestError) -> [Manifest] {
        var parser = ManifestParser(source: source, limits: limits)
        try parser.consume(bytes)
        return try parser.finish()
    }

    /// Reads a piece of the text.
    ///
    /// - Throws: ``ManifestError``; the parser is of no use after that.
    public mutating func consume(_ bytes: some Sequence<UInt8>) throws(ManifestError) {
        for byte in bytes {
            byteCount += 1
            guard byteCount <= limits.bytes else {
                throw ManifestError(source, scanner.position, "more than \(limits.bytes) bytes")
            }
            try scanner.scan(CollectionOfOne(byte)) { character throws(ManifestError) in
                try grammar.handle(character)
            }
        }
    }

    /// The text is at its end.
    ///
    /// - Returns: the manifests; none if the text holds nothing, or comments alone.
    /// - Throws: ``ManifestError``
    public mutating func finish() throws(ManifestError) -> [Manifest] {
        try scanner.finish { character throws(ManifestError) in try grammar.handle(character) }
        try grammar.end(at: scanner.position)
        return grammar.manifests
    }
}
