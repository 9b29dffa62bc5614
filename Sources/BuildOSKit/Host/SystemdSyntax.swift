/// Text in unit files of systemd.
public enum SystemdSyntax {
    /// One argument of a command line, such that the program gets exactly this text (systemd.service(5), "Command
    /// lines"; systemd.unit(5), "Specifiers").
    public static func argument(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "%": quoted += "%%"
            case "$": quoted += "$$"
            case "\"", "\\": quoted += "\\\(scalar)"
            case "\n": quoted += "\\n"
            case "\t": quoted += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\x" + (digits.count < 2 ? "0" : "") + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        quoted += "\""
        let isPlain = text.utf8.allSatisfy {
            $0.isASCIILetterOrDigit || "-_./:=,+@".utf8.contains($0)
        }
        return isPlain && !text.isEmpty ? text : quoted
    }

    /// An argument that is the value of an environment variable of the service, unsplit.
    public static func variable(_ name: String) -> String { "${\(name)}" }
}
