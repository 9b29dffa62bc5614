/// An error that tells an operator what failed, why, and what to do about it.
public protocol DiagnosableError: Error, CustomStringConvertible {
    /// The thing that failed: a file, a URL, a parameter, a command.
    var subject: String { get }
    /// Why it failed, in a sentence without a full stop.
    var cause: String { get }
    /// What to do about it, if anything is known to help.
    var remedy: String? { get }
}

extension DiagnosableError {
    /// `subject: cause (remedy)`, on one line.
    public var description: String {
        if let remedy { "\(subject): \(cause) (\(remedy))" } else { "\(subject): \(cause)" }
    }
}
