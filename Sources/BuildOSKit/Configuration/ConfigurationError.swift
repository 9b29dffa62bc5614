/// Something wrong with one parameter of the command line (CONF-4).
public struct ConfigurationError: DiagnosableError, Hashable, Codable {
    /// The parameter's name as it was written, with what cannot be printed replaced.
    public let parameter: String
    /// The value as it was written, likewise; `nil` if there is none.
    public let value: String?
    /// Where the parameter begins in the line: bytes, counted from 1.
    public let column: Int
    public let cause: String
    /// What is accepted.
    public let accepted: String

    /// Creates an error.
    public init(_ parameter: KernelParameter, cause: String, accepted: String) {
        self.parameter = Self.printable(parameter.name)
        self.value = parameter.value.map(Self.printable)
        self.column = parameter.column
        self.cause = cause
        self.accepted = accepted
    }

    public var subject: String { value.map { "\(parameter)=\($0)" } ?? parameter }
    public var remedy: String? { accepted }

    private static func printable(_ text: String) -> String {
        let shown = text.unicodeScalars.prefix(200).map { $0.properties.isPrintableOnConsole ? $0 : "?" }
        let cut = text.unicodeScalars.count > 200 ? "..." : ""
        return String(String.UnicodeScalarView(shown)) + cut
    }
}

/// Something about a command line that is not wrong but hardly meant.
public struct ConfigurationWarning: Sendable, Hashable, Codable, CustomStringConvertible {
    /// What it is about, and what follows from it.
    public let text: String

    /// Creates a warning.
    public init(_ text: String) { self.text = text }

    public var description: String { text }
}

/// Why a text is not a value of a type: the cause in an error about the parameter that holds it.
public struct InvalidValue: Error, Hashable {
    /// A clause such as `it is empty`.
    public let cause: String

    /// Creates the reason.
    public init(_ cause: String) { self.cause = cause }
}

extension Unicode.Scalar.Properties {
    var isPrintableOnConsole: Bool {
        switch generalCategory {
        case .control, .format, .surrogate, .lineSeparator, .paragraphSeparator, .unassigned, .privateUse: false
        default: true
        }
    }
}
