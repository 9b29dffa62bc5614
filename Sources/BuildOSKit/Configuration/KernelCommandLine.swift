/// One parameter of a kernel command line.
public struct KernelParameter: Sendable, Hashable {
    /// What stands before the first `=`, or all of it.
    public let name: String
    /// What stands after it, without the quotes around it; `nil` if there is no `=`.
    public let value: String?
    /// Where the parameter begins in the line: bytes, counted from 1.
    public let column: Int

    /// Creates a parameter.
    public init(name: String, value: String?, column: Int) {
        self.name = name
        self.value = value
        self.column = column
    }
}

/// A kernel command line, cut into parameters as the kernel cuts it (`next_arg` in `lib/cmdline.c`) (CONF-2).
///
/// A double quote, wherever it stands, switches between "blanks separate" and "blanks belong to the parameter".
/// The quotes around a whole parameter, or around a whole value, are dropped; others stay as they are. There is
/// no escape character.
public struct KernelCommandLine: Sendable, Hashable {
    /// Longer lines are cut by the kernels of x86 and arm64, which keep 2,048 bytes with the final zero.
    public static let lengthLimit = 2047

    /// The parameters up to `--`, in order. What isn't valid UTF-8 is repaired.
    public let parameters: [KernelParameter]
    /// The parameters after `--`: arguments of the first process, which the kernel does not read.
    public let initArguments: [KernelParameter]
    /// The length of the line in bytes, without the newline that `/proc/cmdline` ends with.
    public let length: Int

    /// Cuts a line.
    public init(_ text: String) { self.init(bytes: text.utf8) }

    /// Cuts a line of any bytes; a zero byte ends it.
    public init(bytes: some Sequence<UInt8>) {
        let line = Array(bytes.prefix { $0 != 0 })
        var parameters: [KernelParameter] = []
        var initArguments: [KernelParameter] = []
        var seenDashes = false
        var position = line.firstIndex { !$0.isKernelSpace } ?? line.count
        while position < line.count {
            let (parameter, next) = Self.nextParameter(in: line, from: position)
            if seenDashes {
                initArguments.append(parameter)
            } else if parameter.name == "--", parameter.value == nil {
                seenDashes = true
            } else {
                parameters.append(parameter)
            }
            position = next
        }
        self.parameters = parameters
        self.initArguments = initArguments
        length = line.count - line.reversed().prefix { $0 == UInt8(ascii: "\n") }.count
    }

    private static func nextParameter(in line: [UInt8], from first: Int) -> (KernelParameter, next: Int) {
        let quote = UInt8(ascii: "\"")
        let isWhollyQuoted = line[first] == quote
        let start = isWhollyQuoted ? first + 1 : first
        var isInQuotes = isWhollyQuoted
        var equals: Int?
        var end = start
        while end < line.count, isInQuotes || !line[end].isKernelSpace {
            // A leading '=' is no separator: the kernel takes index 0 to mean that none was found.
            if equals == nil, end > start, line[end] == UInt8(ascii: "=") { equals = end }
            if line[end] == quote { isInQuotes.toggle() }
            end += 1
        }
        var next = end
        while next < line.count, line[next].isKernelSpace { next += 1 }

        var contentEnd = end
        var valueStart = equals.map { $0 + 1 }
        if let begin = valueStart, begin < end, line[begin] == quote {
            valueStart = begin + 1
            if line[end - 1] == quote { contentEnd = end - 1 }
        }
        if isWhollyQuoted, contentEnd == end, end > start, line[end - 1] == quote { contentEnd = end - 1 }
        let name = String(decoding: line[start..<(equals ?? contentEnd)], as: UTF8.self)
        // A value of one lone quote begins after it and ends before it.
        let value = valueStart.map { String(decoding: line[$0..<max($0, contentEnd)], as: UTF8.self) }
        return (KernelParameter(name: name, value: value, column: first + 1), next)
    }
}

extension UInt8 {
    /// What the kernel's `isspace` accepts: the blanks of ASCII, and the no-break space of Latin-1.
    fileprivate var isKernelSpace: Bool { (9...13).contains(self) || self == 0x20 || self == 0xa0 }
}
