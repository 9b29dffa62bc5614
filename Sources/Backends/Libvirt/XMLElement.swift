import BuildOSKit

/// An element of an XML document, written so that no value can be taken for markup (XML 1.0, 2.4 and 3.3.3).
struct XMLElement {
    private let name: String
    private let attributes: [(name: String, value: String)]
    private let text: String
    private var children: [XMLElement]

    /// Creates an element; attributes without value are left out.
    init(
        _ name: String,
        _ attributes: KeyValuePairs<String, String?> = [:],
        text: String = "",
        children: [XMLElement] = []
    ) {
        self.name = name
        self.attributes = attributes.compactMap { name, value in value.map { (name, $0) } }
        self.text = text
        self.children = children
    }

    /// Adds an element at the end; nothing for `nil`.
    mutating func append(_ child: XMLElement?) {
        if let child { children.append(child) }
    }

    /// The element as a document, one element a line.
    ///
    /// - Throws: `InvalidValue` for a character that XML 1.0 has no way to write (2.2).
    func document() throws(InvalidValue) -> String {
        var output = ""
        try write(to: &output, indentation: "")
        return output
    }

    private func write(to output: inout String, indentation: String) throws(InvalidValue) {
        output += "\(indentation)<\(name)"
        for attribute in attributes {
            output += " \(attribute.name)=\"\(try Self.escaped(attribute.value, inAttribute: true))\""
        }
        if text.isEmpty, children.isEmpty {
            output += "/>\n"
        } else if children.isEmpty {
            output += ">\(try Self.escaped(text, inAttribute: false))</\(name)>\n"
        } else {
            output += ">\n"
            for child in children { try child.write(to: &output, indentation: indentation + "  ") }
            output += "\(indentation)</\(name)>\n"
        }
    }

    private static func escaped(_ text: String, inAttribute: Bool) throws(InvalidValue) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += inAttribute ? "&quot;" : "\""
            // A reader turns these into blanks in attributes, and a carriage return into a newline everywhere.
            case "\t", "\n": escaped += inAttribute ? "&#\(scalar.value);" : String(scalar)
            case "\r": escaped += "&#13;"
            case "\u{0}"..<"\u{20}", "\u{fffe}", "\u{ffff}":
                throw InvalidValue("U+\(String(scalar.value, radix: 16, uppercase: true)) can't be written in XML")
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
