/// Tells what an operator types for a guest's console from what is meant for the program between them.
///
/// As ssh(1) has it: `~.` at the beginning of a line leaves, `~~` there is one `~`. Ctrl-] leaves anywhere, as telnet(1) and
/// virsh(1) have it.
public struct ConsoleEscape: Sendable {
    private enum State { case lineStart, tilde, inLine }
    private var state = State.lineStart

    private static let tilde = UInt8(ascii: "~")
    private static let groupSeparator: UInt8 = 0x1d

    /// Creates a reader that is at the beginning of a line.
    public init() {}

    /// Takes what was typed, in pieces of any size.
    ///
    /// - Returns: what goes to the guest, and whether the operator leaves. What comes after that is lost.
    public mutating func take(_ typed: some Sequence<UInt8>) -> (passed: [UInt8], leaves: Bool) {
        var passed: [UInt8] = []
        for byte in typed {
            if byte == Self.groupSeparator { return (passed, true) }
            switch state {
            case .lineStart where byte == Self.tilde:
                state = .tilde
                continue
            case .tilde where byte == UInt8(ascii: "."): return (passed, true)
            case .tilde where byte != Self.tilde: passed.append(Self.tilde)
            case .lineStart, .tilde, .inLine: break
            }
            passed.append(byte)
            state = byte == UInt8(ascii: "\r") || byte == UInt8(ascii: "\n") ? .lineStart : .inLine
        }
        return (passed, false)
    }
}
