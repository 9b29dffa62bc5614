/// A path that stays inside the directory it is taken relative to (TOOL-4).
///
/// Never absolute, never empty, without `.` or `..` components, control characters, backslashes or a
/// leading dash in any component.
public struct RelativePath: Sendable, Hashable, Codable, CustomStringConvertible {
    /// Why a text is not such a path.
    public struct ParseError: DiagnosableError, Hashable {
        /// The text, with anything unprintable replaced.
        public let text: String
        public let cause: String
        public var subject: String { "path '\(text)'" }
        public var remedy: String? { "give a path relative to the directory, without '..'" }
    }

    /// The components, at least one.
    public let components: [String]

    /// Parses a path.
    ///
    /// - Throws: ``ParseError`` that says what is wrong.
    public init(_ text: String) throws(ParseError) {
        func fail(_ cause: String) -> ParseError {
            ParseError(
                text: String(
                    String.UnicodeScalarView(text.unicodeScalars.prefix(200).map { $0.isPrintable ? $0 : "?" })
                ),
                cause: cause
            )
        }
        guard !text.isEmpty else { throw fail("it is empty") }
        guard text.utf8.count <= 1024 else { throw fail("it is longer than 1024 bytes") }
        // By bytes, as the system reads it: to Swift a slash and the accent that follows it are one character, and no slash.
        guard text.utf8.first != UInt8(ascii: "/") else { throw fail("it is absolute") }
        guard text.unicodeScalars.allSatisfy({ $0.isPrintable }), !text.utf8.contains(UInt8(ascii: "\\")) else {
            throw fail("it holds a control character or a backslash")
        }
        let components = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
            .map { String(Substring($0)) }
        for component in components {
            switch component {
            case "": throw fail("it has an empty component")
            case ".", "..": throw fail("the component '\(component)' could leave the directory")
            default:
                guard component.utf8.first != UInt8(ascii: "-") else { throw fail("a component begins with a dash") }
                guard component.utf8.count <= 255 else { throw fail("a component is longer than 255 bytes") }
            }
        }
        self.components = components
    }

    /// The last component: the file's name.
    public var lastComponent: String { components[components.count - 1] }

    public var description: String { components.joined(separator: "/") }

    /// The path as it stands in a URL (RFC 3986, 2.1).
    public var percentEncoded: String {
        let digits = Array("0123456789ABCDEF".unicodeScalars)
        var encoded = String.UnicodeScalarView()
        for byte in description.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"), UInt8(ascii: "/"), UInt8(ascii: "+"):
                encoded.append(Unicode.Scalar(byte))
            default:
                encoded.append(contentsOf: ["%", digits[Int(byte >> 4)], digits[Int(byte & 15)]])
            }
        }
        return String(encoded)
    }

    public init(from decoder: any Decoder) throws {
        try self.init(decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension Unicode.Scalar {
    fileprivate var isPrintable: Bool {
        switch properties.generalCategory {
        case .control, .format, .surrogate, .lineSeparator, .paragraphSeparator, .unassigned, .privateUse: false
        default: true
        }
    }
}
