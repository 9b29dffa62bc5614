/// A name and its value in a manifest.
public struct ManifestPair: Sendable, Hashable {
    /// The name.
    public let name: String
    /// The value, with the escapes of the text form undone.
    public let value: String
    /// Where its name begins, if it was read.
    public let position: ManifestPosition?

    /// Creates a pair.
    public init(_ name: String, _ value: String, at position: ManifestPosition? = nil) {
        self.name = name
        self.value = value
        self.position = position
    }

    /// Whether names and values are the same; positions don't count.
    public static func == (left: ManifestPair, right: ManifestPair) -> Bool {
        left.name == right.name && left.value == right.value
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(name)
        hasher.combine(value)
    }
}

/// A place in a manifest's text: line and column from 1, columns counted in code points.
public struct ManifestPosition: Sendable, Hashable, CustomStringConvertible {
    /// The line.
    public var line: Int
    /// The column.
    public var column: Int

    /// Creates a position.
    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    public var description: String { "\(line):\(column)" }
}

/// One manifest: pairs in their order, names not necessarily once each (build2-facts, 1).
public struct Manifest: Sendable, Hashable {
    /// The pairs.
    public var pairs: [ManifestPair]

    /// Creates a manifest.
    public init(_ pairs: [ManifestPair] = []) { self.pairs = pairs }

    /// The value of the first pair of a name.
    public subscript(name: String) -> String? { pairs.first { $0.name == name }?.value }

    /// Adds a pair unless there is no value.
    mutating func add(_ name: String, _ value: String?) {
        if let value { pairs.append(ManifestPair(name, value)) }
    }

    /// The value of a name that must be there.
    ///
    /// - Throws: ``ManifestError``
    func required(_ name: String, in source: String) throws(ManifestError) -> String {
        guard let value = self[name] else {
            throw ManifestError(source, pairs.first?.position, "no '\(name)' in the manifest")
        }
        return value
    }
}

/// Why a text is not a manifest, or not the one that was expected: `<source>:<line>:<column>: error: <cause>`.
public struct ManifestError: DiagnosableError, Hashable {
    /// Where the text comes from: a file, a controller, a guest.
    public let source: String
    /// Where in it.
    public let position: ManifestPosition?
    public let cause: String

    /// Creates an error.
    public init(_ source: String, _ position: ManifestPosition?, _ cause: String) {
        self.source = source
        self.position = position
        self.cause = cause
    }

    public var subject: String { position.map { "\(source):\($0)" } ?? source }
    public var remedy: String? { nil }
    public var description: String { "\(subject): error: \(cause)" }
}
