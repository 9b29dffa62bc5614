/// A set of CPU numbers, written as lists and ranges: `0,2-3` (RES-3; taskset(1)).
public struct CPUSet: Sendable, Hashable, CustomStringConvertible {
    /// The greatest CPU number: that of the largest Linux kernels.
    public static let greatestCPU = 8191

    /// In ascending order, each once, at least one.
    public let cpus: [Int]

    /// Parses a list.
    ///
    /// - Throws: ``InvalidValue``
    public init(_ text: String) throws(InvalidValue) {
        var members: Set<Int> = []
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = item.split(separator: "-", omittingEmptySubsequences: false)
            guard (1...2).contains(ends.count) else { throw InvalidValue("'\(item.prefix(40))' is not a range") }
            var numbers: [Int] = []
            for end in ends { numbers.append(try DecimalNumber.parse(String(end), 0...Self.greatestCPU)) }
            let first = numbers[0]
            let last = numbers.count == 2 ? numbers[1] : first
            guard first <= last else { throw InvalidValue("the range '\(item)' runs backwards") }
            members.formUnion(first...last)
        }
        cpus = members.sorted()
    }

    /// The shortest list of ranges.
    public var description: String {
        var ranges: [ClosedRange<Int>] = []
        for cpu in cpus {
            if let last = ranges.last, last.upperBound + 1 == cpu {
                ranges[ranges.count - 1] = last.lowerBound...cpu
            } else {
                ranges.append(cpu...cpu)
            }
        }
        return ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
            .joined(separator: ",")
    }
}
